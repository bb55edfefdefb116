// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "common/event/admin_server.h"
#include "common/event/child_process.h"
#include "common/event/event_loop.h"
#include "coordinator/page/status_page.h"

namespace ferment::coordinator {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Returns: a Chromium that shows no window, by FERMENT_CHROMIUM or by the names that it is installed under.
std::optional<std::string> FindBrowser() {
  if (const char* named = std::getenv("FERMENT_CHROMIUM")) return named;
  for (const char* name : {"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"}) {
    if (const auto found = event::FindProgram(name)) return *found;
  }
  return std::nullopt;
}

/// The page in a browser, with one answer of /api/runs.
class StatusPageInABrowser : public testing::Test {
 protected:
  void SetUp() override {
    browser_ = FindBrowser();
    if (!browser_) GTEST_SKIP() << "no Chromium here: apt-get install chromium-headless-shell, or set FERMENT_CHROMIUM";
    folder_ = std::filesystem::path(testing::TempDir()) / "browser";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }

  /// Returns: the document after the page has drawn the answer.
  std::string Shown(const std::string& runs) {
    event::EventLoop loop;
    auto handlers = StatusPageHandlers();
    handlers["/api/runs"] = [runs](const event::HttpRequest&) {
      return event::HttpReply{200, "application/json", runs};
    };
    auto server = event::AdminServer::Start(loop, {}, std::move(handlers));
    EXPECT_TRUE(server) << server.error().message();
    // Its clock stands while an answer is on its way, so that the page has drawn it when the time is over. The sandbox
    // wants a user other than root; nothing is loaded but our own page.
    auto browser = event::ChildProcess::Start(
        {.argv = {*browser_, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + folder_.string(),
                  "--virtual-time-budget=3000", "--dump-dom", "http://" + (*server)->address() + "/"},
         .output = folder_ / "document"});
    EXPECT_TRUE(browser) << browser.error().message();
    const auto code = browser->WaitFor(std::chrono::seconds(90));
    if (!code) browser->End(std::chrono::milliseconds(0));
    loop.Stop();
    std::ifstream stream(folder_ / "document");
    std::string text(std::istreambuf_iterator<char>(stream), {});
    EXPECT_EQ(code, 0) << text;
    return text;
  }
  /// Returns: the text of `document` from `begin` to the next `end`; "" where there is none.
  static std::string Between(const std::string& document, const std::string& begin, const std::string& end) {
    const std::size_t from = document.find(begin);
    return from == std::string::npos ? "" : document.substr(from, document.find(end, from) - from);
  }

  std::optional<std::string> browser_;
  std::filesystem::path folder_;
};

TEST_F(StatusPageInABrowser, SaysWhatAJobWaitsForInPlaceOfItsFigures) {
  const std::string document = Shown(R"({"runs": [{"run_id": "demo-1", "name": "demo", "run_dir": "/runs/demo",
    "state": "RUN_STATE_RUNNING", "jobs": [
      {"job_id": "teacher", "phase": "teacher", "state": "JOB_STATE_SUCCEEDED", "metrics": {"loss": 0.5}},
      {"job_id": "cotrain", "phase": "cotrain", "state": "JOB_STATE_RUNNING", "metrics": {"student_loss": 0.25},
       "waiting": "its trainer <b>left</b> no word; unless it speaks, another starts in 21 s"}]}]})");
  const std::string phases = Between(document, "<table id=\"phases\">", "</table>");
  EXPECT_THAT(phases, HasSubstr("<td>loss 0.500</td>")) << document;
  EXPECT_THAT(phases, HasSubstr("<td>its trainer &lt;b&gt;left&lt;/b&gt; no word; unless it speaks, another starts in "
                                "21 s</td>"));
  EXPECT_THAT(phases, Not(HasSubstr("student_loss")));
  EXPECT_THAT(document, HasSubstr("class=\"link\" role=\"status\">live<"));
}

}  // namespace
}  // namespace ferment::coordinator
