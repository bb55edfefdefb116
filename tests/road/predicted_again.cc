// SPDX-License-Identifier: Apache-2.0
#include "tests/road/predicted_again.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "common/dataset/text_lines.h"

namespace ferment::road {

Table ParseTable(const std::string& csv) {
  const auto lines = dataset::SplitLines(csv);
  Table table;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto names = dataset::SplitCsv(lines[0]);
    const auto fields = dataset::SplitCsv(lines[i]);
    EXPECT_EQ(fields.size(), names.size()) << lines[i];
    auto& row = table.emplace_back();
    for (std::size_t f = 0; f < std::min(names.size(), fields.size()); ++f) row[names[f]] = fields[f];
  }
  return table;
}

Table ReadTable(const std::filesystem::path& file) {
  std::ifstream stream(file);
  EXPECT_TRUE(stream.good()) << file;
  std::stringstream text;
  text << stream.rdbuf();
  return ParseTable(text.str());
}

std::vector<std::string> Column(const Table& table, const std::string& name) {
  std::vector<std::string> values;
  for (const auto& row : table) values.push_back(row.at(name));
  return values;
}

std::map<std::string, Table> ByVideo(const Table& rows) {
  std::map<std::string, Table> videos;
  for (const auto& row : rows) videos[row.at("video")].push_back(row);
  return videos;
}

void ExpectSameFaces(const Table& predicted, const Table& evaluated) {
  ASSERT_EQ(Column(predicted, "path"), Column(evaluated, "path"));
  EXPECT_EQ(Column(predicted, "prediction"), Column(evaluated, "prediction"));
  for (std::size_t i = 0; i < evaluated.size(); ++i) {
    for (const auto& [name, value] : evaluated[i]) {
      if (!name.starts_with("p_")) continue;
      EXPECT_NEAR(std::stod(predicted[i].at(name)), std::stod(value), 1e-3) << evaluated[i].at("path") << " " << name;
    }
  }
}

void ExpectSameFrames(const Table& predicted, const Table& evaluated) {
  ASSERT_EQ(Column(predicted, "frame"), Column(evaluated, "frame")) << evaluated.front().at("video");
  EXPECT_EQ(Column(predicted, "prediction"), Column(evaluated, "prediction")) << evaluated.front().at("video");
}

}  // namespace ferment::road
