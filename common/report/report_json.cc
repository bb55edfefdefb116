// SPDX-License-Identifier: Apache-2.0
#include "common/report/report_json.h"

namespace ferment::report {
namespace {

Json OrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json PhaseRows(const RunFigures& figures) {
  Json rows = Json::array();
  for (const PhaseFigures& phase : figures.phases) {
    rows.push_back({{"phase", phase.phase},
                    {"round", phase.round},
                    {"status", phase.status},
                    {"attempts", phase.attempts},
                    {"seconds", phase.seconds},
                    {"cpu_seconds", phase.cpu_seconds},
                    {"peak_rss_bytes", static_cast<std::uint64_t>(phase.peak_rss_bytes)},
                    {"samples", static_cast<std::uint64_t>(phase.samples)},
                    {"failure", OrNull(phase.failure)}});
  }
  return rows;
}

Json Counts(const std::vector<double>& values) {
  Json counts = Json::array();
  for (const double value : values) counts.push_back(static_cast<std::uint64_t>(value));
  return counts;
}

Json StaticRows(const RunFigures& figures) {
  Json rows = Json::array();
  for (const StaticFigures& row : figures.statics) {
    Json confusion = Json::array();
    for (const std::vector<double>& line : row.confusion) confusion.push_back(Counts(line));
    rows.push_back({{"model", row.model},
                    {"dataset", row.dataset},
                    {"macro_f1", row.macro_f1},
                    {"per_class_f1", row.per_class_f1},
                    {"accuracy", row.accuracy},
                    {"confusion", std::move(confusion)},
                    {"ece", row.ece},
                    {"optimistic", row.optimistic}});
  }
  return rows;
}

Json FaceCounts(const RunFigures& figures) {
  Json sets = Json::object();
  for (const FaceRows& row : figures.faces_read) {
    Json left_out = Json::object();
    for (const auto& [reason, count] : row.left_out) left_out[reason] = static_cast<std::uint64_t>(count);
    sets[row.set] = {{"rows", static_cast<std::uint64_t>(row.rows)},
                     {"faces", static_cast<std::uint64_t>(row.faces)},
                     {"left_out", std::move(left_out)}};
  }
  return sets;
}

Json VideoRows(const RunFigures& figures) {
  Json rows = Json::array();
  for (const VideoFigures& row : figures.videos) {
    rows.push_back({{"features", row.features},
                    {"temporal", row.temporal},
                    {"smoothing_half_width", row.smoothing_half_width},
                    {"macro_f1", row.macro_f1},
                    {"per_class_f1", row.per_class_f1},
                    {"optimistic", row.optimistic}});
  }
  return rows;
}

Json AblationRows(const RunFigures& figures) {
  Json rows = Json::array();
  for (const AblationFigures& row : figures.ablation) {
    rows.push_back({{"semi_supervised", row.semi_supervised},
                    {"temporal", row.temporal},
                    {"smoothing", row.smoothing},
                    {"macro_f1", row.macro_f1},
                    {"optimistic", row.optimistic}});
  }
  return rows;
}

Json PseudoLabelRows(const RunFigures& figures) {
  Json rows = Json::array();
  for (const PseudoLabelFigures& row : figures.pseudo_labels) {
    rows.push_back({{"teacher", row.teacher},
                    {"records", static_cast<std::uint64_t>(row.records)},
                    {"labelled", static_cast<std::uint64_t>(row.labelled)},
                    {"abstained", static_cast<std::uint64_t>(row.abstained)},
                    {"quarantined", static_cast<std::uint64_t>(row.quarantined)},
                    {"class_histogram", Counts(row.class_histogram)},
                    {"accuracy", row.accuracy ? Json(*row.accuracy) : Json()},
                    {"coverage", row.coverage ? Json(*row.coverage) : Json()},
                    {"canaries",
                     {{"checked", static_cast<std::uint64_t>(row.canaries)},
                      {"correct", static_cast<std::uint64_t>(row.canaries_correct)}}}});
  }
  return rows;
}

}  // namespace

Json ReportDocument(const RunFigures& figures) {
  Json document;
  document["schema"] = "ferment.report/v1";
  document["name"] = figures.name;
  document["status"] = figures.status;
  document["failure"] = OrNull(figures.failure);
  document["seed"] = figures.seed;
  document["classes"] = figures.classes;
  document["phases"] = PhaseRows(figures);
  document["evaluation"] = {
      {"static", StaticRows(figures)}, {"video", VideoRows(figures)}, {"ablation", AblationRows(figures)}};
  if (!figures.faces_read.empty()) document["evaluation"]["faces"] = FaceCounts(figures);
  document["pseudo_labels"] = PseudoLabelRows(figures);
  document["model"] = {{"student_digest", OrNull(figures.student_digest)}, {"export", OrNull(figures.export_dir)}};
  return document;
}

}  // namespace ferment::report
