// SPDX-License-Identifier: Apache-2.0
#include "common/report/report_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "common/report/html_text.h"
#include "common/report/svg_chart.h"
#include "tests/common/report/canned_figures.h"

namespace ferment::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ReportPage, AsksForNothingFromOutside) {
  RunFigures figures = CannedFigures();
  figures.faces.push_back({.label = 4, .confidence = 0.9, .jpeg = "not a picture"});
  const std::string page = RenderReportPage(figures);
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("data:image/jpeg;base64,bm90IGEgcGljdHVyZQ=="));
}

TEST(ReportPage, EscapesWhatTheRunSays) {
  RunFigures figures = CannedFigures();
  figures.name = "<b>&\"x\"";
  figures.classes[1] = "<i>Anger";
  figures.timeline->video = "<u>video";
  figures.failure = "<s>torn";
  const std::string page = RenderReportPage(figures);
  for (const char* raw : {"<b>", "<i>Anger", "<u>", "<s>"}) EXPECT_THAT(page, Not(HasSubstr(raw)));
  EXPECT_THAT(page, HasSubstr("&lt;b&gt;&amp;&quot;x&quot;"));
}

TEST(ReportPage, SaysWhatAnEmptyRunHasNotReached) {
  const std::string page = RenderReportPage({.name = "new", .status = "running"});
  EXPECT_THAT(page, HasSubstr("The evaluation has not been reached."));
  EXPECT_THAT(page, HasSubstr("No phase has started."));
}

TEST(ReportPage, SaysWhatIsOptimistic) {
  const std::string marks[] = {"Macro F1 on faces, optimistic", "Macro F1 on videos, optimistic",
                               "chosen by these figures (evaluate.select: best)"};
  RunFigures figures = CannedFigures();
  for (const std::string& mark : marks) EXPECT_THAT(RenderReportPage(figures), Not(HasSubstr(mark)));
  for (StaticFigures& row : figures.statics) row.optimistic = true;
  for (AblationFigures& row : figures.ablation) row.optimistic = true;
  for (const std::string& mark : marks) EXPECT_THAT(RenderReportPage(figures), HasSubstr(mark));
}

TEST(ReportPage, IsLeftForTheEye) {
  std::ofstream(::testing::TempDir() + "/report-page.html") << RenderReportPage(CannedFigures());
}

TEST(SvgChart, LeavesOutWhatIsNotANumber) {
  const std::string svg =
      LineChart("loss", {{.name = "loss", .points = {{0, 1.0}, {1, NAN}, {2, INFINITY}, {3, 0.5}}}});
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(SvgChart, DrawsEmptyDataWithoutFault) {
  EXPECT_THAT(LineChart("a", {}), HasSubstr("</svg>"));
  EXPECT_THAT(ClassBars("a", {}, {}), HasSubstr("</svg>"));
  EXPECT_THAT(ReliabilityDiagram("a", {}), HasSubstr("</svg>"));
  EXPECT_THAT(ClassStrips("a", {}, {}), HasSubstr("</svg>"));
}

TEST(HtmlText, WritesNumbersAsPeopleReadThem) {
  EXPECT_EQ(Grouped(8486), "8,486");
  EXPECT_EQ(Grouped(-1234567), "-1,234,567");
  EXPECT_EQ(Duration(3.25), "3.2 s");
  EXPECT_EQ(Duration(185), "3 min 05 s");
  EXPECT_EQ(Duration(3900), "1 h 05 min");
  EXPECT_EQ(Bytes(412.0 * 1024 * 1024), "412 MiB");
  EXPECT_EQ(Fixed(NAN, 2), "–");
}

TEST(HtmlText, EncodesBase64AsTheRfcSays) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace ferment::report
