// SPDX-License-Identifier: Apache-2.0
#include "common/report/report_page.h"

#include "common/report/html_text.h"
#include "common/report/report_sections.h"
#include "common/report/report_style.h"

namespace ferment::report {
namespace {

bool EndedBadly(const std::string& status) { return status == "failed" || status == "cancelled"; }

std::string Head(const RunFigures& figures) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" "
         "href=\"data:,\"><title>" +
         Escaped(figures.name) + " · ferment</title><style>" + std::string(ReportStyle()) + "</style></head>\n";
}

std::string Title(const RunFigures& figures) {
  std::string html = "<header><h1>" + Escaped(figures.name) + " <span class=\"status" +
                     (EndedBadly(figures.status) ? " bad" : "") + "\">" + Escaped(figures.status) + "</span></h1>";
  html += "<p class=\"muted\">" + Escaped(figures.model_summary) + "</p><p class=\"muted\">" +
          Escaped(figures.data_summary) + "</p>";
  for (const std::string& text : {figures.failure, figures.stopped_teacher}) {
    if (!text.empty()) html += "<p class=\"failure\">" + Escaped(text) + "</p>";
  }
  return html + "</header>";
}

std::string Foot(const RunFigures& figures) {
  std::string html = "<footer>seed " + std::to_string(figures.seed);
  if (!figures.student_digest.empty()) html += " · student sha256 " + Escaped(figures.student_digest);
  return html + " · the same figures for programs: report.json</footer>";
}

}  // namespace

std::string RenderReportPage(const RunFigures& figures) {
  return Head(figures) + "<body><main>" + Title(figures) + HeadlineSection(figures) + AblationSection(figures) +
         TimelineSection(figures) + FacesSection(figures) + PseudoLabelSection(figures) + CurveSection(figures) +
         CostSection(figures) + Foot(figures) + "</main></body></html>\n";
}

}  // namespace ferment::report
