// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ferment {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

LoadedSpec LoadText(const std::string& yaml, const std::vector<SpecOverride>& flags) {
  const fs::path file = fs::path(::testing::TempDir()) / "explained.yaml";
  std::ofstream(file) << yaml;
  Result<LoadedSpec> loaded = LoadSpec(file, flags);
  EXPECT_TRUE(loaded) << loaded.error().message();
  return std::move(*loaded);
}

const ExplainedValue& Find(const std::vector<ExplainedValue>& values, const std::string& key) {
  const auto found = std::ranges::find(values, key, &ExplainedValue::key);
  EXPECT_NE(found, values.end()) << key;
  return *found;
}

TEST(SpecExplain, SaysWhereEachValueCameFrom) {
  const LoadedSpec loaded =
      LoadText("data: {fer: [{path: /a}, {path: /b}], fr: {path: /c}}\nteacher:\n  lr: 0.5\n", {{"seed", "9"}});
  const std::vector<ExplainedValue> values = ExplainSpec(loaded);
  EXPECT_EQ(Find(values, "seed").value, 9);
  EXPECT_EQ(Find(values, "seed").origin.kind, SpecOrigin::Kind::kFlag);
  EXPECT_EQ(Find(values, "teacher.lr").origin.line, 3);
  EXPECT_EQ(Find(values, "teacher.lr").allowed, "0 to 100");
  EXPECT_EQ(Find(values, "teacher.batch").origin.kind, SpecOrigin::Kind::kDefault);
  EXPECT_EQ(Find(values, "data.fer[1].path").value, "/b");
  EXPECT_TRUE(Find(values, "data.videos.path").value.is_null());
  EXPECT_TRUE(Find(values, "labeling.truth").value.is_null());
}

TEST(SpecExplain, AlignsItsColumns) {
  std::istringstream table(ExplainAsTable(LoadText("", {})));
  std::string line;
  std::getline(table, line);
  const std::size_t from = line.find("FROM");
  EXPECT_THAT(line, HasSubstr("KEY "));
  while (std::getline(table, line)) {
    if (line.starts_with("teacher.")) {
      EXPECT_EQ(line.substr(from, 7), "default") << line;
    }
  }
}

TEST(SpecExplain, ALongCellPushesNoOtherRowAside) {
  const std::string long_path = "/" + std::string(150, 'p');
  std::istringstream table(ExplainAsTable(LoadText("seed: 3\ndata: {root: " + long_path + "}\n",
                                                   {{"labeling.truth", long_path}, {"teacher.batch", "63"}})));
  std::string line;
  std::getline(table, line);
  EXPECT_LE(line.find("MEANING"), 110U) << line;
  const std::size_t meaning = line.find("MEANING");
  std::size_t rows = 0;
  while (std::getline(table, line)) {
    if (line.starts_with("seed ")) {
      EXPECT_THAT(line, HasSubstr(" explained.yaml:1:7 ")) << "the file's name alone";
    }
    if (line.starts_with("teacher.batch ")) {
      EXPECT_EQ(line.find("labelled faces a step"), meaning) << "back in its column after a long FROM: " << line;
    }
    if (line.starts_with("data.root ") || line.starts_with("labeling.truth ")) {
      EXPECT_THAT(line, HasSubstr(long_path)) << "nothing is cut";
    }
    ++rows;
  }
  EXPECT_GT(rows, 100U);
}

TEST(SpecExplain, GivesTypedValuesAsJson) {
  const Json explained = ExplainAsJson(LoadText("", {}));
  for (const Json& value : explained.at("values")) {
    if (value.at("key") == "teacher.nesterov") {
      EXPECT_TRUE(value.at("value").get<bool>());
    }
    if (value.at("key") == "classes") {
      EXPECT_EQ(value.at("value").size(), 8U);
    }
    EXPECT_FALSE(value.at("meaning").get<std::string>().empty());
  }
}

TEST(SpecExplain, HasTheReferenceThatIsCommitted) {
  std::ifstream file(fs::path(FERMENT_SOURCE_DIR) / "docs" / "spec.md");
  std::stringstream committed;
  committed << file.rdbuf();
  EXPECT_EQ(committed.str(), SpecReference()) << "print it anew: ferment config reference > docs/spec.md";
}

TEST(Examples, AreValid) {
  int examples = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(FERMENT_SOURCE_DIR) / "examples")) {
    if (entry.path().extension() != ".yaml") continue;
    ++examples;
    const Result<LoadedSpec> loaded = LoadSpec(entry.path());
    EXPECT_TRUE(loaded) << loaded.error().message();
    if (loaded) {
      EXPECT_EQ(loaded->spec.name(), entry.path().stem().string());
    }
  }
  EXPECT_GE(examples, 5);
}

}  // namespace
}  // namespace ferment
