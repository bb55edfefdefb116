// SPDX-License-Identifier: Apache-2.0
#include "common/report/figures_reader.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>

#include "common/base/json_field.h"
#include "common/config/spec_loader.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/local_file_system.h"
#include "common/report/evaluation_tables.h"
#include "common/report/label_figures.h"

namespace ferment::report {
namespace {

std::optional<std::string> ReadText(const std::filesystem::path& path) {
  auto text = io::ReadTextFile(path);
  return text ? std::optional(*std::move(text)) : std::nullopt;
}

/// Returns: null JSON where the file does not exist.
Result<Json> ReadJson(const std::filesystem::path& path) {
  const std::optional<std::string> text = ReadText(path);
  if (!text) return Json();
  Result<Json> json = ParseJson(*text);
  if (!json) return Fail(json.error().With(path.string()));
  return json;
}

int WholeOf(const Json& value) {
  constexpr double kMost = 1e9;
  return static_cast<int>(std::clamp(NumberOr(value, 0), 0.0, kMost));
}

PhaseFigures PhaseOf(const Json& row) {
  PhaseFigures phase;
  phase.job_id = TextOr(Field(row, "job_id"), "");
  phase.phase = TextOr(Field(row, "phase"), phase.job_id);
  phase.round = WholeOf(Field(row, "round"));
  phase.status = TextOr(Field(row, "status"), "unknown");
  phase.attempts = WholeOf(Field(row, "attempts"));
  phase.seconds = NumberOr(Field(row, "seconds"), 0);
  phase.cpu_seconds = NumberOr(Field(row, "cpu_seconds"), 0);
  phase.peak_rss_bytes = NumberOr(Field(row, "peak_rss_bytes"), 0);
  phase.samples = NumberOr(Field(row, "samples"), 0);
  phase.failure = TextOr(Field(row, "failure"), "");
  phase.canaries = NumberOr(Field(Field(row, "canaries"), "checked"), 0);
  phase.canaries_correct = NumberOr(Field(Field(row, "canaries"), "correct"), 0);
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
  figures.optimistic = BoolOr(Field(row, "optimistic"), false);
  return figures;
}

VideoFigures VideoOf(const Json& row) {
  VideoFigures figures;
  figures.features = TextOr(Field(row, "features"), "");
  figures.temporal = TextOr(Field(row, "temporal"), "none");
  figures.smoothing_half_width = WholeOf(Field(row, "smoothing_half_width"));
  figures.macro_f1 = NumberOr(Field(row, "macro_f1"), 0);
  figures.per_class_f1 = Numbers(Field(row, "per_class_f1"));
  figures.optimistic = BoolOr(Field(row, "optimistic"), false);
  return figures;
}

FaceRows RowsOf(const std::string& set, const Json& row) {
  FaceRows rows{.set = set, .rows = NumberOr(Field(row, "rows"), 0), .faces = NumberOr(Field(row, "faces"), 0)};
  for (const auto& [reason, count] : Field(row, "left_out").items())
    rows.left_out.emplace_back(reason, NumberOr(count, 0));
  return rows;
}

void ReadEvaluation(const Json& evaluation, RunFigures& figures) {
  for (const auto& [set, row] : Field(evaluation, "faces").items()) figures.faces_read.push_back(RowsOf(set, row));
  for (const Json& row : Field(evaluation, "static")) figures.statics.push_back(StaticOf(row));
  for (const Json& row : Field(evaluation, "video")) figures.videos.push_back(VideoOf(row));
  for (const Json& row : Field(evaluation, "ablation")) {
    figures.ablation.push_back({.semi_supervised = BoolOr(Field(row, "semi_supervised"), false),
                                .temporal = BoolOr(Field(row, "temporal"), false),
                                .smoothing = BoolOr(Field(row, "smoothing"), false),
                                .macro_f1 = NumberOr(Field(row, "macro_f1"), 0),
                                .optimistic = BoolOr(Field(row, "optimistic"), false)});
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

std::string DigestOf(const RunLayout& layout, const std::string& job_id, std::string_view role) {
  const Result<Json> result = ReadJson(layout.Result(job_id));
  if (!result) return "";
  for (const Json& model : Field(*result, "models")) {
    if (TextOr(Field(model, "role"), "") == role) return TextOr(Field(model, "sha256"), "");
  }
  return "";
}

/// Digests of the teachers that labelled, in the order of the rounds.
std::vector<std::string> TeachersOf(const RunLayout& layout, const RunSpec& spec) {
  std::vector<std::string> teachers;
  for (std::uint32_t round = 0; round < spec.cotrain().rounds(); ++round) {
    const std::string digest = DigestOf(layout, round == 0 ? "teacher" : JobId("cotrain", round - 1), "teacher");
    if (!digest.empty() && (teachers.empty() || teachers.back() != digest)) teachers.push_back(digest);
  }
  return teachers;
}

/// A label job's canaries belong to the teacher that the job before it published.
void EnterCanaries(const RunLayout& layout, RunFigures& figures) {
  for (const PhaseFigures& phase : figures.phases) {
    if (phase.phase != "label") continue;
    const auto round = static_cast<std::uint32_t>(phase.round);
    const std::string teacher = DigestOf(layout, round == 0 ? "teacher" : JobId("cotrain", round - 1), "teacher");
    for (PseudoLabelFigures& row : figures.pseudo_labels) {
      if (row.teacher != teacher) continue;
      row.canaries = phase.canaries;
      row.canaries_correct = phase.canaries_correct;
    }
  }
}

std::string ModelSummary(const RunSpec& spec) {
  const auto& model = spec.model();
  std::string text = model.backbone() + " of width " + std::to_string(model.width()) + " at " +
                     std::to_string(model.image_size()) + " pixels; " + std::to_string(spec.cotrain().steps()) +
                     " steps of co-training with feedback: " + spec.cotrain().feedback().form();
  if (spec.data().has_videos()) text += "; temporal encoder: " + spec.temporal().encoder();
  return text;
}

std::string DataSummary(const RunSpec& spec) {
  std::string text = "Labelled faces: ";
  for (int i = 0; i < spec.data().fer_size(); ++i) {
    text += (i > 0 ? ", " : "") + dataset::DatasetName(spec.data().fer(i).path());
  }
  text += ". Unlabelled faces: " + dataset::DatasetName(spec.data().fr().path());
  text += ". Videos: " + (spec.data().has_videos() ? dataset::DatasetName(spec.data().videos().path()) : "none");
  return text + ".";
}

}  // namespace

Result<RunFigures> ReadRunFigures(const RunLayout& layout) {
  FERMENT_ASSIGN_OR_RETURN(const RunSpec spec, LoadResolvedSpec(layout.Spec()));
  RunFigures figures;
  figures.name = spec.name().empty() ? layout.root().filename().string() : spec.name();
  figures.classes.assign(spec.classes().begin(), spec.classes().end());
  figures.model_summary = ModelSummary(spec);
  figures.data_summary = DataSummary(spec);
  FERMENT_ASSIGN_OR_RETURN(const Json table, ReadJson(layout.PhaseTable()));
  figures.status = TextOr(Field(table, "status"), "unknown");
  figures.seed = spec.seed();
  for (const Json& row : Field(table, "phases")) figures.phases.push_back(PhaseOf(row));
  for (const PhaseFigures& phase : figures.phases) {
    if (!phase.failure.empty() && phase.status == "skipped") {
      if (figures.stopped_teacher.empty()) figures.stopped_teacher = phase.job_id + ": " + phase.failure;
    } else if (!phase.failure.empty()) {
      figures.failure = phase.job_id + ": " + phase.failure;
    }
    const std::optional<std::string> curve = ReadText(layout.Curve(phase.job_id));
    if (curve) figures.curves.push_back(CurveOf(phase.job_id, *curve));
  }
  FERMENT_ASSIGN_OR_RETURN(const Json evaluate, ReadJson(layout.Result("evaluate")));
  ReadEvaluation(Field(evaluate, "evaluation"), figures);
  figures.student_digest = DigestOf(layout, "finetune", "student");
  std::error_code unreadable;
  if (std::filesystem::exists(layout.Export() / "model.json", unreadable)) figures.export_dir = "export";
  const Status labels = ReadLabelFigures(layout, spec, TeachersOf(layout, spec), figures);
  EnterCanaries(layout, figures);
  if (!labels.ok()) figures.truth_note = "Some label sets cannot be read: " + std::string(labels.message());
  figures.timeline = TimelineOf(ReadText(layout.Evaluation() / "video_validation.csv").value_or(""));
  figures.student_reliability = ReliabilityOf(ReadText(layout.Evaluation() / "static_validation.csv").value_or(""));
  return figures;
}

}  // namespace ferment::report
