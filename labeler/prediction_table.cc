// SPDX-License-Identifier: Apache-2.0
#include "labeler/prediction_table.h"

#include <algorithm>
#include <cstdio>

#include "common/base/json.h"

namespace ferment::labeler {
namespace {

using Names = std::vector<std::string>;

std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string Formatted(const char* format, float value) {
  char number[32];
  std::snprintf(number, sizeof(number), format, static_cast<double>(value));
  return number;
}

std::string ToJson(const std::vector<PredictionRow>& rows, const Names& classes) {
  Json list = Json::array();
  for (const PredictionRow& row : rows) {
    Json entry;
    entry["path"] = row.path.string();
    if (row.frame) entry["frame"] = *row.frame;
    entry["prediction"] = row.prediction();
    entry["class"] = classes[row.prediction()];
    entry["confidence"] = row.probabilities[row.prediction()];
    entry["probabilities"] = Json::object();
    for (std::size_t c = 0; c < classes.size(); ++c) entry["probabilities"][classes[c]] = row.probabilities[c];
    list.push_back(std::move(entry));
  }
  // A path need not be UTF-8, JSON must.
  return list.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ToCsv(const std::vector<PredictionRow>& rows, const Names& classes) {
  std::string text = "path,frame,prediction,class";
  for (const std::string& name : classes) text += "," + Quoted("p_" + name);
  text += "\n";
  for (const PredictionRow& row : rows) {
    text += Quoted(row.path.string()) + "," + (row.frame ? std::to_string(*row.frame) : "") + "," +
            std::to_string(row.prediction()) + "," + Quoted(classes[row.prediction()]);
    for (const float probability : row.probabilities) text += Formatted(",%.9g", probability);
    text += "\n";
  }
  return text;
}

std::string ToLines(const std::vector<PredictionRow>& rows, const Names& classes) {
  std::string text;
  for (const PredictionRow& row : rows) {
    text += row.path.string() + (row.frame ? "  " + std::to_string(*row.frame) : "") + "  " +
            classes[row.prediction()] + Formatted("  %.3f\n", row.probabilities[row.prediction()]);
  }
  return text;
}

}  // namespace

std::size_t PredictionRow::prediction() const {
  return static_cast<std::size_t>(std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin());
}

std::string PredictionText(const std::vector<PredictionRow>& rows, const Names& classes, PredictFormat format) {
  if (format == PredictFormat::kJson) return ToJson(rows, classes);
  return format == PredictFormat::kCsv ? ToCsv(rows, classes) : ToLines(rows, classes);
}

}  // namespace ferment::labeler
