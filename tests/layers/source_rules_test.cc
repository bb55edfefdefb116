// SPDX-License-Identifier: Apache-2.0
#include "tests/layers/source_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

namespace ferment::layers {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kTag = "// SPDX-License-Identifier: Apache-2.0\n";

TEST(SourceRules, RefuseAHigherFloor) {
  EXPECT_THAT(FloorFindings({"common/io/a.cc", "#include \"common/dataset/pictures/image.h\"\n"}),
              ElementsAre(HasSubstr("common/io/a.cc:1: a higher floor")));
}

TEST(SourceRules, RefuseANeighbourOnTheSameFloor) {
  EXPECT_THAT(FloorFindings({"cli/a.cc", "\n#include \"coordinator/scheduler/scheduler.h\"\n"}),
              ElementsAre(HasSubstr("cli/a.cc:2: a neighbour")));
}

TEST(SourceRules, KeepLibTorchOutOfTheCoordinator) {
  EXPECT_THAT(FloorFindings({"coordinator/a.cc", "#include \"common/nn/checkpoint.h\"\n"}),
              ElementsAre(HasSubstr("links no LibTorch")));
}

TEST(SourceRules, WantIncludesFromTheRoot) {
  EXPECT_THAT(FloorFindings({"worker/a.cc", "#include \"a.h\"\n"}), ElementsAre(HasSubstr("from the repository root")));
}

TEST(SourceRules, AllowTheOwnFolderAndLowerFloors) {
  EXPECT_THAT(FloorFindings({"worker/train/a.cc", "#include \"worker/feed/b.h\"\n#include \"common/nn/c.h\"\n"}),
              IsEmpty());
}

TEST(SourceRules, RefuseALibraryOutsideItsDoor) {
  EXPECT_THAT(DoorFindings({"common/event/a.cc", "#include <grpcpp/grpcpp.h>\n"}), ElementsAre(HasSubstr("gRPC")));
  EXPECT_THAT(DoorFindings({"worker/run_client.cc", "#include \"ferment/v1/event.pb.h\"\n"}),
              ElementsAre(HasSubstr("gRPC")));
  EXPECT_THAT(DoorFindings({"worker/train/a.cc", "#include \"tensorboard/tensorboard_event.pb.h\"\n"}),
              ElementsAre(HasSubstr("Protobuf")));
  EXPECT_THAT(DoorFindings({"common/rpc/a.cc", "#include <grpcpp/grpcpp.h>\n#include <vector>\n#include <unistd.h>\n"}),
              IsEmpty());
}

TEST(SourceRules, RefuseALibraryWithoutADoor) {
  EXPECT_THAT(DoorFindings({"common/io/a.cc", "#include <fmt/format.h>\n"}), ElementsAre(HasSubstr("no door")));
}

TEST(SourceRules, WantTheTagThePurposeAndTheOnce) {
  EXPECT_THAT(FormFindings({"cli/a.h", "#pragma once\n"}), ElementsAre(HasSubstr("SPDX"), HasSubstr("purpose")));
  EXPECT_THAT(FormFindings({"cli/a.h", std::string(kTag) + "//\n// Says what it is for.\n#pragma once\n"}), IsEmpty());
  EXPECT_THAT(FormFindings({"cli/a.cc", std::string(kTag) + "// Chatter.\n"}),
              ElementsAre(HasSubstr("opening comment")));
}

TEST(SourceRules, WantAnIssueBehindEachNoteForLater) {
  const std::string word =
      "TO"
      "DO";
  EXPECT_THAT(FormFindings({"cli/a.cc", kTag + ("int a;  // " + word + ": later\n")}), ElementsAre(HasSubstr(":2:")));
  EXPECT_THAT(FormFindings({"cli/a.cc", kTag + ("int a;  // " + word + "(#12): later\n")}), IsEmpty());
}

TEST(SourceRules, RefuseNamesThatSayNothing) {
  EXPECT_THAT(FormFindings({"cli/string_utils.cc", kTag}), ElementsAre(HasSubstr("name")));
}

TEST(SourceRules, RefuseOneNameInTwoFolders) {
  EXPECT_THAT(RepeatedNames({"cli/a.h", "worker/a.h"}), ElementsAre(HasSubstr("worker/a.h: has the name of cli/a.h")));
}

TEST(SourceRules, FindTheTestsOfASourceAndOfCtest) {
  EXPECT_THAT(TestsOf({"tests/a_test.cc", "TEST_F(Suite,\n       Name) {}\nINSTANTIATE_TEST_SUITE_P(All, Suite, x);"}),
              ElementsAre("Suite.Name"));
  EXPECT_THAT(TestsOf({"tests/CMakeLists.txt", "add_test(NAME Suite.Other COMMAND x)\nadd_test(NAME plain COMMAND x)"}),
              ElementsAre("Suite.Other"));
}

TEST(SourceRules, WantTheTestsThatAPageNames) {
  const std::set<std::string> tests = {"Suite.Name", "Suite.NameAsWell"};
  EXPECT_THAT(NamedTestFindings({"docs/a.md", "`Suite.Name`, `All/Suite.*`, `Suite.NameAs...`, `FILE.Name`"}, tests),
              IsEmpty());
  EXPECT_THAT(NamedTestFindings({"docs/a.md", "one\n`Suite.NameAs` and `Gone.*`"}, tests),
              ElementsAre(HasSubstr("docs/a.md:2: no such test: `Suite.NameAs`"), HasSubstr("`Gone.*`")));
}

SourceFile Read(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {.path = std::filesystem::relative(file, FERMENT_SOURCE_DIR).generic_string(),
          .text = std::string(std::istreambuf_iterator<char>(stream), {})};
}

std::vector<SourceFile> TheHouse() {
  namespace fs = std::filesystem;
  const fs::path root = FERMENT_SOURCE_DIR;
  std::vector<SourceFile> files;
  for (const char* room : {"bench", "cli", "common", "coordinator", "labeler", "proto", "tests", "worker"}) {
    if (!fs::exists(root / room)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / room)) {
      const std::string suffix = entry.path().extension().string();
      const bool is_source =
          suffix == ".h" || suffix == ".cc" || suffix == ".proto" || suffix == ".hpp" || suffix == ".cpp";
      if (!entry.is_regular_file() || !is_source) continue;
      files.push_back(Read(entry.path()));
    }
  }
  return files;
}

std::vector<std::string> Findings(std::vector<std::string> (*rule)(const SourceFile&), bool with_tests) {
  std::vector<std::string> all;
  for (const SourceFile& file : TheHouse()) {
    if (!with_tests && (file.path.starts_with("tests/") || file.path.starts_with("bench/"))) continue;
    for (std::string& finding : rule(file)) all.push_back(std::move(finding));
  }
  return all;
}

TEST(House, IsFound) { EXPECT_GT(TheHouse().size(), 40U); }

TEST(House, KeepsItsFloors) { EXPECT_THAT(Findings(FloorFindings, /*with_tests=*/false), IsEmpty()); }

TEST(House, LetsLibrariesInByTheirDoors) { EXPECT_THAT(Findings(DoorFindings, /*with_tests=*/false), IsEmpty()); }

TEST(House, KeepsItsForm) { EXPECT_THAT(Findings(FormFindings, /*with_tests=*/true), IsEmpty()); }

TEST(House, HasOneFileOfAName) {
  std::vector<std::string> paths;
  for (const SourceFile& file : TheHouse()) paths.push_back(file.path);
  EXPECT_THAT(RepeatedNames(paths), IsEmpty());
}

TEST(House, HasTheTestsThatItsPagesName) {
  namespace fs = std::filesystem;
  const fs::path root = FERMENT_SOURCE_DIR;
  std::set<std::string> tests;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / "tests")) {
    const bool makes_tests = entry.path().filename() == "CMakeLists.txt" || entry.path().extension() == ".cc" ||
                             entry.path().extension() == ".h";
    if (!makes_tests) continue;
    for (std::string& test : TestsOf(Read(entry.path()))) tests.insert(std::move(test));
  }
  std::vector<std::string> findings;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / "docs")) {
    if (entry.path().extension() != ".md") continue;
    for (std::string& finding : NamedTestFindings(Read(entry.path()), tests)) findings.push_back(std::move(finding));
  }
  EXPECT_THAT(findings, IsEmpty());
}

}  // namespace
}  // namespace ferment::layers
