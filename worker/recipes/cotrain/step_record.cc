// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/step_record.h"

#include <array>

#include "common/io/atomic_file.h"

namespace ferment::worker {
namespace {

Json RanksJson(const std::vector<RankRows>& ranks) {
  Json json = Json::array();
  for (const RankRows& rank : ranks) {
    json.push_back({{"labelled", {rank.labelled.begin, rank.labelled.end}},
                    {"unlabelled", {rank.unlabelled.begin, rank.unlabelled.end}}});
  }
  return json;
}

Json ConfigJson(const RunSpec& spec, const StepFacts& facts) {
  const auto& cotrain = spec.cotrain();
  return {{"B", cotrain.batch()},
          {"mu", cotrain.mu()},
          {"C", spec.classes_size()},
          {"tau", cotrain.tau()},
          {"threshold", cotrain.threshold()},
          {"threshold_rule", cotrain.pseudo_label().threshold_rule()},
          {"label_smoothing", cotrain.label_smoothing()},
          {"lambda_u", cotrain.lambda_u()},
          {"lambda_ramp_steps", cotrain.lambda_ramp_steps()},
          {"lr_teacher", facts.rates.lr_teacher},
          {"lr_student", facts.rates.lr_student},
          {"ema_decay", facts.rates.ema_decay},
          {"momentum", cotrain.momentum()},
          {"nesterov", cotrain.nesterov()},
          {"weight_decay", cotrain.weight_decay()},
          {"weight_decay_excluded", facts.weight_decay_excluded},
          {"grad_clip", cotrain.grad_clip()},
          {"batch_norm", cotrain.batch_norm()},
          {"feedback_form", cotrain.feedback().form()},
          {"feedback_view", cotrain.feedback().view()},
          {"feedback_statistics", cotrain.feedback().statistics()},
          {"baseline", cotrain.feedback().baseline()},
          {"student_mask", cotrain.student_mask()},
          {"pseudo_label_source", cotrain.pseudo_label().source()},
          {"feedback_start_step", cotrain.feedback().start_step()}};
}

Json ScalarsJson(const CotrainRates& rates, const CotrainOutcome& outcome) {
  return {{"L_T_l", outcome.teacher.loss_labelled},
          {"L_T_u", outcome.teacher.loss_unlabelled},
          {"lambda", rates.lambda},
          {"L_S_u", outcome.student.loss},
          {"L_old", outcome.student.old_loss},
          {"L_new", outcome.student.new_loss},
          {"h_raw", outcome.student.h_raw},
          {"baseline_before", outcome.baseline_before},
          {"baseline_after", outcome.baseline_after},
          {"h", outcome.h},
          {"L_T_mpl", outcome.teacher.feedback_loss},
          {"L_T", outcome.teacher.loss},
          {"grad_norm_teacher", outcome.teacher.grad_norm},
          {"grad_norm_student", outcome.student.grad_norm},
          {"accepted", outcome.teacher.accepted}};
}

/// The status before the first step is that of nothing seen.
Json ThresholdsJson(const CotrainOutcome& outcome) {
  const std::vector<double> unseen(outcome.thresholds.size());
  const auto or_unseen = [&](const std::vector<double>& shares) { return shares.empty() ? unseen : shares; };
  return {{"used", outcome.thresholds},
          {"labelled_before", or_unseen(outcome.status_before.labelled)},
          {"confident_before", or_unseen(outcome.status_before.confident)},
          {"labelled_after", or_unseen(outcome.status_after.labelled)},
          {"confident_after", or_unseen(outcome.status_after.confident)}};
}

/// Takes away what a step that was undone did not get to.
void KeepReached(StepPart undone_in, Json& scalars) {
  if (undone_in == StepPart::kTeacher) return;
  for (const char* name : {"L_old", "L_new", "h_raw", "h", "L_T_mpl", "L_T", "grad_norm_teacher"})
    scalars[name] = nullptr;
  if (undone_in == StepPart::kLabels) scalars["L_S_u"] = scalars["grad_norm_student"] = nullptr;
}

Status WriteState(const std::filesystem::path& folder, const std::string& suffix, const CotrainState& state) {
  FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / ("teacher" + suffix), state.teacher));
  FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / ("student" + suffix), state.student));
  FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / ("ema" + suffix), state.average));
  return nn::SaveTensors(folder / ("optimizer" + suffix), state.optimizer);
}

}  // namespace

std::vector<RankRows> RowsOfRanks(const RunSpec& spec, int ranks) {
  const std::uint64_t labelled = spec.cotrain().batch();
  std::vector<RankRows> rows;
  for (int rank = 0; rank < ranks; ++rank)
    rows.push_back({RowsOfRank(labelled, rank, ranks), RowsOfRank(labelled * spec.cotrain().mu(), rank, ranks)});
  return rows;
}

Json StepJson(const RunSpec& spec, const StepFacts& facts, const CotrainOutcome& outcome) {
  const auto& model = spec.model();
  Json json = {{"format", 1},
               {"step", facts.step},
               {"dtype", spec.cotrain().dtype()},
               {"placement", spec.cotrain().placement()},
               {"world_size", facts.world_size},
               {"ranks", {{"teacher", RanksJson(facts.teacher_ranks)}, {"student", RanksJson(facts.student_ranks)}}},
               {"backbone", {{"name", model.backbone()}, {"width", model.width()}, {"image_size", model.image_size()}}},
               {"class_names", std::vector<std::string>(spec.classes().begin(), spec.classes().end())},
               {"config", ConfigJson(spec, facts)},
               {"scalars", ScalarsJson(facts.rates, outcome)}};
  if (outcome.undone_in) {
    constexpr std::array kParts = {"labels", "student", "teacher"};
    json["undone"] = kParts.at(static_cast<std::size_t>(*outcome.undone_in));
    KeepReached(*outcome.undone_in, json["scalars"]);
  }
  if (!outcome.thresholds.empty()) json["thresholds"] = ThresholdsJson(outcome);
  return json;
}

Status WriteStepRecord(const std::filesystem::path& folder, const StepRecord& record) {
  FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / "batch.safetensors", record.batch));
  FERMENT_RETURN_IF_ERROR(WriteState(folder, "_before.safetensors", record.before));
  FERMENT_RETURN_IF_ERROR(WriteState(folder, "_after.safetensors", record.after));
  FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / "gradients.safetensors", record.gradients));
  return io::WriteFileAtomically(folder / "step.json", record.step.dump(1) + "\n");
}

}  // namespace ferment::worker
