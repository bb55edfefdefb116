// SPDX-License-Identifier: Apache-2.0
#include "cli/ablation_table.h"

#include <cstdio>
#include <fstream>
#include <sstream>

namespace ferment::cli {
namespace {

std::string Ratio(const Json& value) {
  if (!value.is_number()) return "    -";
  char text[16];
  std::snprintf(text, sizeof text, "%.4f", value.get<double>());
  return text;
}

const char* YesNo(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_boolean() && found->get<bool>() ? "yes" : "no ";
}

Json At(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? Json() : *found;
}

/// What a checkpoint was chosen by is no measure of it.
std::string Mark(const Json& row) {
  const Json optimistic = At(row, "optimistic");
  return optimistic.is_boolean() && optimistic.get<bool>() ? "   optimistic: chosen by this figure" : "";
}

std::string StaticText(const Json& rows) {
  std::string text;
  for (const Json& row : rows) {
    const Json model = At(row, "model");
    if (!model.is_string()) continue;
    char line[160];
    std::snprintf(line, sizeof line, "  %-24s macro F1 %s   accuracy %s", model.get<std::string>().c_str(),
                  Ratio(At(row, "macro_f1")).c_str(), Ratio(At(row, "accuracy")).c_str());
    text += line + Mark(row) + '\n';
  }
  return text.empty() ? text : "\nLabelled validation faces\n" + text;
}

std::string AblationText(const Json& rows) {
  std::string text;
  for (const Json& row : rows) {
    text += std::string("  ") + YesNo(row, "semi_supervised") + "              " + YesNo(row, "temporal") + "       " +
            YesNo(row, "smoothing") + "        " + Ratio(At(row, "macro_f1")) + Mark(row) + "\n";
  }
  if (text.empty()) return text;
  return "\nAblation\n  semi-supervised  temporal  smoothing  macro F1\n" + text;
}

}  // namespace

std::string SummaryText(const Json& report) {
  const Json evaluation = At(report, "evaluation");
  return StaticText(At(evaluation, "static")) + AblationText(At(evaluation, "ablation"));
}

Result<Json> ReadReport(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) return Fail(NotFoundError("no report: file=" + file.string()));
  std::stringstream text;
  text << stream.rdbuf();
  auto json = ParseJson(text.str());
  if (!json) return Fail(json.error().With("reading " + file.string()));
  return json;
}

}  // namespace ferment::cli
