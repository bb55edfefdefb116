// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command.h"

namespace ferment::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

std::vector<std::string> After(const std::vector<std::string>& words) {
  CLI::App app("", "ferment");
  AddCommands(app);
  return Completions(app, words);
}

TEST(Completion, OffersCommandsFlagsAndChoices) {
  EXPECT_THAT(After({}), Contains("run"));
  EXPECT_THAT(After({"re"}), UnorderedElementsAre("render", "report", "resume"));
  EXPECT_THAT(After({"data", "sc"}), ElementsAre("scan"));
  EXPECT_THAT(After({"help", "data", "sc"}), ElementsAre("scan"));
  EXPECT_THAT(After({"run", "--dr"}), ElementsAre("--dry-run"));
  EXPECT_THAT(After({"run", "x.yaml", "--run-dir", "y", "--q"}), ElementsAre("--quiet"));
  EXPECT_THAT(After({"data", "scan", "--format", "raf"}), ElementsAre("rafdb"));
  EXPECT_THAT(After({"data", "scan", "--format", "=", "raf"}), ElementsAre("rafdb")) << "as bash takes it apart";
  EXPECT_THAT(After({"run", "x.yaml", "--set", "teacher.ste"}), ElementsAre("teacher.steps="));
}

TEST(Completion, LeavesFilesAndFreeTextToTheShell) {
  EXPECT_THAT(After({"run", ""}), IsEmpty());
  EXPECT_THAT(After({"run", "--run-dir", ""}), IsEmpty());
  EXPECT_THAT(After({"get", "--coordinator", "ru"}), IsEmpty()) << "a value, not a command";
}

TEST(Completion, TheVerbIsInNoHelpAndTakesAnyWords) {
  CLI::App app("", "ferment");
  AddCommands(app);
  EXPECT_THAT(app.help(), Not(testing::HasSubstr("__complete")));
  const char* const argv[] = {"ferment", "__complete", "nonsense", "--no-such", ""};
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunCommandLine(5, argv), 0);
  testing::internal::GetCapturedStdout();
}

}  // namespace
}  // namespace ferment::cli
