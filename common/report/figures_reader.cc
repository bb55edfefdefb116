// SPDX-License-Identifier: Apache-2.0
#include "common/report/figures_reader.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>

#include "common/report/json_field.h"

namespace ferment::report {
namespace {

constexpr std::array kAbawClasses = {"Neutral",   "Anger",   "Disgust",  "Fear",
                                     "Happiness", "Sadness", "Surprise", "Other"};

std::optional<std::string> ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Returns: null JSON where the file does not exist.
Result<Json> ReadJson(const std::filesystem::path& path) {
  const std::optional<std::string> text = ReadText(path);
  if (!text) return Json();
  Result<Json> json = ParseJson(*text);
  if (!json) return Fail(json.error().With(path.string()));
  return json;
}

PhaseFigures PhaseOf(const Json& row) {
  PhaseFigures phase;
  phase.job_id = TextOr(Field(row, "job_id"), "");
  phase.phase = TextOr(Field(row, "phase"), phase.job_id);
  phase.round = static_cast<int>(NumberOr(Field(row, "round"), 0));
  phase.status = TextOr(Field(row, "status"), "unknown");
  phase.attempts = static_cast<int>(NumberOr(Field(row, "attempts"), 0));
  phase.seconds = NumberOr(Field(row, "seconds"), 0);
  phase.cpu_seconds = NumberOr(Field(row, "cpu_seconds"), 0);
  phase.peak_rss_bytes = NumberOr(Field(row, "peak_rss_bytes"), 0);
  phase.samples = NumberOr(Field(row, "samples"), 0);
  phase.failure = TextOr(Field(row, "failure"), "");
  return phase;
}

StaticFigures StaticOf(const Json& row) {
  StaticFigures figures;
  figures.model = TextOr(Field(row, "model"), "");
  figures.dataset = TextOr(Field(row, "dataset"), "");
  figures.macro_f1 = NumberOr(Field(row, "macro_f1"), 0);
  figures.per_class_f1 = Numbers(Field(row, "per_class_f1"));
  figures.accuracy = NumberOr(Field(row, "accuracy"), 0);
  if (const Json& confusion = Field(row, "confusion"); confusion.is_array()) {
    for (const Json& line : confusion) figures.confusion.push_back(Numbers(line));
  }
  figures.ece = NumberOr(Field(row, "ece"), 0);
  return figures;
}

VideoFigures VideoOf(const Json& row) {
  VideoFigures figures;
  figures.features = TextOr(Field(row, "features"), "");
  figures.temporal = TextOr(Field(row, "temporal"), "none");
  figures.smoothing_half_width = static_cast<int>(NumberOr(Field(row, "smoothing_half_width"), 0));
  figures.macro_f1 = NumberOr(Field(row, "macro_f1"), 0);
  figures.per_class_f1 = Numbers(Field(row, "per_class_f1"));
  return figures;
}

void ReadEvaluation(const Json& evaluation, RunFigures& figures) {
  for (const Json& row : Field(evaluation, "static")) figures.statics.push_back(StaticOf(row));
  for (const Json& row : Field(evaluation, "video")) figures.videos.push_back(VideoOf(row));
  for (const Json& row : Field(evaluation, "ablation")) {
    figures.ablation.push_back({.semi_supervised = BoolOr(Field(row, "semi_supervised"), false),
                                .temporal = BoolOr(Field(row, "temporal"), false),
                                .smoothing = BoolOr(Field(row, "smoothing"), false),
                                .macro_f1 = NumberOr(Field(row, "macro_f1"), 0)});
  }
}

/// A torn last line, of a trainer that was killed while it wrote, is passed over.
Curve CurveOf(const std::string& job_id, const std::string& text) {
  Curve curve{.job_id = job_id, .series = {}};
  std::map<std::string, std::size_t> place;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const Result<Json> line = ParseJson(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    if (!line || !line->is_object()) continue;
    const double step = NumberOr(Field(*line, "step"), 0);
    for (const auto& [key, value] : line->items()) {
      if (key == "step" || !value.is_number()) continue;
      const auto [found, fresh] = place.try_emplace(key, curve.series.size());
      if (fresh) curve.series.push_back({.name = key, .points = {}});
      curve.series[found->second].points.emplace_back(step, value.get<double>());
    }
  }
  // A job that went back to a checkpoint logs some steps twice: the later line counts.
  for (Series& series : curve.series) {
    std::reverse(series.points.begin(), series.points.end());
    std::stable_sort(series.points.begin(), series.points.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    const auto repeated = std::unique(series.points.begin(), series.points.end(),
                                      [](const auto& a, const auto& b) { return a.first == b.first; });
    series.points.erase(repeated, series.points.end());
  }
  return curve;
}

std::string DigestOfStudent(const RunLayout& layout) {
  const Result<Json> result = ReadJson(layout.Result("finetune"));
  if (!result) return "";
  for (const Json& model : Field(*result, "models")) {
    if (TextOr(Field(model, "role"), "") == "student") return TextOr(Field(model, "sha256"), "");
  }
  return "";
}

}  // namespace

Result<RunFigures> ReadRunFigures(const RunLayout& layout) {
  RunFigures figures;
  figures.name = layout.root().filename().string();
  figures.classes.assign(kAbawClasses.begin(), kAbawClasses.end());
  FERMENT_ASSIGN_OR_RETURN(const Json table, ReadJson(layout.PhaseTable()));
  figures.status = TextOr(Field(table, "status"), "unknown");
  figures.seed = static_cast<std::uint64_t>(NumberOr(Field(table, "seed"), 0));
  for (const Json& row : Field(table, "phases")) figures.phases.push_back(PhaseOf(row));
  for (const PhaseFigures& phase : figures.phases) {
    if (!phase.failure.empty()) figures.failure = phase.job_id + ": " + phase.failure;
    const std::optional<std::string> curve = ReadText(layout.Curve(phase.job_id));
    if (curve) figures.curves.push_back(CurveOf(phase.job_id, *curve));
  }
  FERMENT_ASSIGN_OR_RETURN(const Json evaluate, ReadJson(layout.Result("evaluate")));
  ReadEvaluation(Field(evaluate, "evaluation"), figures);
  figures.student_digest = DigestOfStudent(layout);
  if (std::filesystem::exists(layout.Export() / "model.json")) figures.export_dir = "export";
  return figures;
}

}  // namespace ferment::report
