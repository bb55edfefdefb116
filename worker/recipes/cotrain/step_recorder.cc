// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/step_recorder.h"

#include <cstring>
#include <system_error>
#include <utility>

#include "common/base/logging.h"
#include "common/io/atomic_file.h"
#include "worker/collective/rank_agreement.h"
#include "worker/recipes/rank_rows.h"

namespace ferment::worker {
namespace {

NamedTensors Copied(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) copies.emplace_back(name, tensor.detach().to(torch::kCPU).clone());
  return copies;
}

Status CannotRecord(const std::string& why) {
  return InvalidArgumentError("cannot record a step: " + why).WithExitCode(exit_code::kBadSpec);
}

}  // namespace

Status CheckRecordable(const RecipeContext& context) {
  if (!context.recording) return Status();
  if (context.phase != "cotrain") return CannotRecord("only co-training has steps to record: phase=" + context.phase);
  const auto& cotrain = context.spec.cotrain();
  if (context.recording->step >= cotrain.steps()) {
    return CannotRecord("the run ends before it: step=" + std::to_string(context.recording->step) +
                        " cotrain.steps=" + std::to_string(cotrain.steps()));
  }
  return CheckReplayable(context.spec);
}

Status CheckReplayable(const RunSpec& spec) {
  const std::uint32_t max_lag = spec.cotrain().feedback().max_lag();
  if (max_lag != 0) {
    return CannotRecord("feedback must come from the same step: cotrain.feedback.max_lag=" + std::to_string(max_lag));
  }
  const std::string& backbone = spec.model().backbone();
  if (backbone != "resnet18" && backbone != "resnet50")
    return CannotRecord("the replay knows resnet18 and resnet50 only: model.backbone=" + backbone);
  return Status();
}

Status StepRecorder::MakeFolder() const {
  Status status;
  if (context_.world.rank() == 0) {
    status = io::CreateFolders(recording_.folder);
    std::error_code absent;
    std::filesystem::remove(recording_.folder / "step.json", absent);
  }
  return AgreeOnStatus(context_.world, status);
}

void StepRecorder::Begin(const CotrainState& state) {
  if (context_.world.rank() != 0) return;
  record_.before = {Copied(state.teacher), Copied(state.student), Copied(state.average), Copied(state.optimizer)};
}

Result<NamedTensors> StepRecorder::GatherBatch(const MadeStep& made) const {
  if (!made.placement.teaches()) return NamedTensors();
  const CotrainOutcome& outcome = made.outcome;
  torch::Tensor keys = torch::empty({static_cast<std::int64_t>(made.keys.size())}, torch::kInt64);
  static_assert(sizeof(made.keys[0]) == sizeof(std::int64_t));
  if (!made.keys.empty()) std::memcpy(keys.mutable_data_ptr(), made.keys.data(), keys.nbytes());
  NamedTensors batch = {{"x_l", made.batch.labelled},
                        {"x_u_weak", made.batch.weak},
                        {"x_u_strong", made.batch.strong},
                        {"y_l", made.batch.labels},
                        {"key", keys},
                        {"y_hat", outcome.labels.label},
                        {"q", outcome.pseudo.confidence},
                        {"mask", outcome.pseudo.mask},
                        {"trained", outcome.labels.trained}};
  for (auto& [name, tensor] : batch) {
    FERMENT_ASSIGN_OR_RETURN(tensor, GatherRows(tensor, made.placement.group()));
  }
  return batch;
}

Status StepRecorder::End(const MadeStep& made, const CotrainState& state) {
  if (!made.outcome.finite) {
    return DataLossError("the step to record was not finite and has been undone: step=" +
                         std::to_string(recording_.step))
        .WithExitCode(exit_code::kBadData);
  }
  return Write(made, state);
}

Status StepRecorder::RecordUndone(const MadeStep& made, const CotrainState& state) {
  FERMENT_RETURN_IF_ERROR(MakeFolder());
  Begin(state);
  return Write(made, state);
}

Status StepRecorder::Write(const MadeStep& made, const CotrainState& state) {
  FERMENT_ASSIGN_OR_RETURN(record_.batch, GatherBatch(made));
  Status written;
  if (context_.world.rank() == 0) {
    record_.after = state;
    record_.gradients = made.gradients;
    record_.step = StepJson(context_.spec, made.facts, made.outcome);
    // Where it lies in the job's folder, that of MakeFolder was set aside with the earlier job.
    written = io::CreateFolders(recording_.folder);
    if (written.ok()) written = WriteStepRecord(recording_.folder, record_);
    if (written.ok()) LogInfo("step_recorded", {{"step", recording_.step}, {"folder", recording_.folder.string()}});
  }
  record_ = {};
  return AgreeOnStatus(context_.world, written);
}

}  // namespace ferment::worker
