// SPDX-License-Identifier: Apache-2.0
#include "worker/train/trainer_loop.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "common/nn/torch_guard.h"
#include "worker/collective/rank_agreement.h"
#include "worker/train/checkpoint_folder.h"
#include "worker/train/trainer_signals.h"

namespace ferment::worker {
namespace {

/// A job logs every step of its curve up to this many, and about half as many lines of a longer one.
constexpr std::uint64_t kCurveLines = 2000;

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.5g", value);
  return text;
}

/// Errors: Unavailable (201, so that the job is started again) where the ranks have not all read the same checkpoint.
Status AgreeOnCheckpoint(Collective& ranks, const std::optional<std::uint64_t>& mine) {
  constexpr std::uint64_t kNone = ~std::uint64_t{0};
  const std::uint64_t own = mine.value_or(kNone);
  std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks.size()));
  FERMENT_RETURN_IF_ERROR(ranks.AllGather(std::as_bytes(std::span<const std::uint64_t>(&own, 1)),
                                          std::as_writable_bytes(std::span<std::uint64_t>(all))));
  const auto other = std::ranges::find_if(all, [&](std::uint64_t step) { return step != all[0]; });
  if (other == all.end()) return Status();
  const auto name = [](std::uint64_t step) { return step == kNone ? std::string("none") : std::to_string(step); };
  return UnavailableError(
             "ranks read different checkpoints, so the file system shows new files late to some, or run-dir "
             "is not one folder; start the job again: rank 0 step=" +
             name(all[0]) + ", rank " + std::to_string(other - all.begin()) + " step=" + name(*other))
      .WithExitCode(exit_code::kPeerLost);
}

}  // namespace

TrainerLoop::TrainerLoop(Recipe& recipe, const RecipeContext& context, RunClient& client,
                         const TrainerLoopOptions& options)
    : recipe_(recipe), context_(context), client_(client), options_(options), files_(context) {
  if (!leads()) return;
  writer_.emplace([this](const SavedJob& job) {
    curve_->Await();  // who goes on from this checkpoint makes none of these steps again
    return files_.Save(job);
  });
}

Status TrainerLoop::Run() {
  FERMENT_RETURN_IF_ERROR(Prepare());
  if (finished_before_) return Status();
  FERMENT_RETURN_IF_ERROR(Train());
  return Finish();
}

Status TrainerLoop::Prepare() {
  Enter(Activity::kPreparing);
  const bool start_anew = context_.recording.has_value();
  JobInputs inputs;
  std::optional<JobResult> finished;
  const Status looked = nn::Guard([&]() -> Status {
    if (!leads()) return Status();
    inputs = recipe_.Inputs();
    if (start_anew) return Status();
    FERMENT_ASSIGN_OR_RETURN(finished, files_.Finished(inputs));
    return Status();
  });
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context_.world, looked));
  FERMENT_ASSIGN_OR_RETURN(finished_before_, BroadcastAnswer(context_.world, finished.has_value()));
  if (finished_before_) {
    LogInfo("job_is_done_already",
            {{"job", context_.job_id()}, {"result", context_.layout.Result(context_.job_id()).string()}});
    return AgreeOnStatus(context_.world, leads() ? client_.Complete(*finished) : Status());
  }
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context_.world, nn::Guard([&] { return recipe_.Prepare(); })));
  FERMENT_RETURN_IF_ERROR(
      AgreeOnStatus(context_.world, leads() ? files_.TakeOver(client_.token(), inputs, start_anew) : Status()));

  auto saved = files_.Newest();
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context_.world, saved ? Status() : saved.error()));
  FERMENT_RETURN_IF_ERROR(
      AgreeOnCheckpoint(context_.world, *saved ? std::optional((*saved)->next_step) : std::nullopt));
  Status restored;
  if (*saved) {
    next_step_ = (*saved)->next_step;
    restored = CheckpointFolder(context_.layout.Checkpoints(context_.job_id()))
                   .GoOnFrom(next_step_, recipe_.total_steps(),
                             [&] { return nn::Guard([&] { return recipe_.Restore((*saved)->state, next_step_); }); });
    samples_ = (*saved)->samples;
    nonfinite_ = (*saved)->nonfinite;
    saved_step_ = next_step_;
    if (leads()) LogInfo("resumed", {{"job", context_.job_id()}, {"step", next_step_}});
  }
  if (leads()) {
    curve_.emplace(context_.layout.Curve(context_.job_id()), next_step_, files_.MayWrite());
    tensorboard_.emplace(context_.layout.Tensorboard(context_.job_id()), next_step_);
  }
  reported_ = logged_ = std::chrono::steady_clock::now();
  logged_samples_ = samples_;
  return AgreeOnStatus(context_.world, restored);
}

Status TrainerLoop::Train() {
  const std::uint64_t total = recipe_.total_steps();
  while (next_step_ < total) {
    FERMENT_ASSIGN_OR_RETURN(const Wish wish, AgreeOnWish());
    if (wish == Wish::kFenced)
      return AbortedError("the run token is another process's: job=" + context_.job_id())
          .WithExitCode(exit_code::kFenced);
    if (wish == Wish::kGiveUp) return AwaitSaved();
    if (wish != Wish::kGoOn) FERMENT_RETURN_IF_ERROR(Save());
    if (wish == Wish::kStop) {
      FERMENT_RETURN_IF_ERROR(AwaitSaved());
      return CancelledError("asked to stop, checkpoint written: job=" + context_.job_id() +
                            " step=" + std::to_string(next_step_))
          .WithExitCode(exit_code::kTerminated);
    }
    if (options_.board != nullptr) options_.board->EnterStep(next_step_);
    const auto begin = std::chrono::steady_clock::now();
    FERMENT_ASSIGN_OR_RETURN(const StepFigures figures, GuardedStep(next_step_));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    distributions_["step_seconds"].Observe(seconds.count(), metrics::kStepSecondsBounds);
    ++next_step_;
    FERMENT_RETURN_IF_ERROR(Account(next_step_ - 1, figures));
    if (next_step_ % options_.checkpoint_every == 0) checkpoint_due_ = true;
  }
  return Status();
}

Result<StepFigures> TrainerLoop::GuardedStep(std::uint64_t step) {
  const TraceScope scope(context_.trace, "step", static_cast<std::int64_t>(step));
  Result<StepFigures> figures = StepFigures();
  const Status status = nn::Guard([&] {
    figures = recipe_.Step(step);
    return Status();
  });
  if (!status.ok()) return Fail(status.With("step " + std::to_string(step)));
  if (!figures) return Fail(figures.error().With("step " + std::to_string(step)));
  return figures;
}

Result<TrainerLoop::Wish> TrainerLoop::AgreeOnWish() {
  enum Slot { kAsked, kStopping, kFencedOff, kWriting, kNotWritten, kSlots };
  std::array<double, kSlots> wishes = {};
  if (TakeCheckpointRequest()) wishes[kAsked] = 1;
  if (StopSignalled()) wishes[kStopping] = 1;
  if (leads()) {
    if (client_.StopRequested()) wishes[kStopping] = 1;
    if (!client_.Fenced().ok()) wishes[kFencedOff] = 1;
    if (writer_->busy()) wishes[kWriting] = 1;
    if (!writer_->Failure().ok()) wishes[kNotWritten] = 1;
  }
  if (context_.world.size() > 1) FERMENT_RETURN_IF_ERROR(context_.world.AllReduceSum(std::span<double>(wishes)));
  if (wishes[kFencedOff] > 0) return Wish::kFenced;
  if (wishes[kNotWritten] > 0) return Wish::kGiveUp;
  if (wishes[kStopping] > 0) return Wish::kStop;
  if (wishes[kAsked] > 0) checkpoint_due_ = true;
  return checkpoint_due_ && wishes[kWriting] == 0 ? Wish::kCheckpoint : Wish::kGoOn;
}

Status TrainerLoop::Account(std::uint64_t step, const StepFigures& figures) {
  samples_ += figures.samples;
  if (!figures.finite) {
    ++nonfinite_;
    if (leads())
      LogWarning("loss_not_finite", {{"step", step}, {"count", nonfinite_}, {"max_nonfinite", options_.max_nonfinite}});
    if (nonfinite_ > options_.max_nonfinite) return TooManyNonfinite(step);
  }
  for (const auto& [name, value] : figures.values) figures_[name] = value;
  for (const std::string& event : figures.events) ++figures_[event];
  if (figures.label_staleness)
    distributions_["label_staleness"].Observe(*figures.label_staleness, metrics::kStalenessBounds);
  figures_["nonfinite"] = static_cast<double>(nonfinite_);
  if (!leads()) return Status();

  const std::uint64_t total = recipe_.total_steps();
  const std::uint64_t stride = total <= kCurveLines ? 1 : total / (kCurveLines / 2);
  if (step % stride == 0 || step + 1 == total || figures.values.contains("macro_f1")) {
    curve_->Write(step, figures.values);
    tensorboard_->Write(step, figures.values);
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - reported_ >= options_.report_every || step + 1 == total) {
    client_.Report(Progress());
    reported_ = now;
  }
  if (now - logged_ >= options_.log_every || step + 1 == total) {
    const double seconds = std::chrono::duration<double>(now - logged_).count();
    const double rate = seconds > 0 ? static_cast<double>(samples_ - logged_samples_) / seconds : 0;
    figures_["samples_per_second"] = rate;
    const auto figure = [this](const char* name) {
      return figures_.contains(name) ? Short(figures_.at(name)) : std::string("-");
    };
    LogInfo("training", {{"job", context_.job_id()},
                         {"step", step + 1},
                         {"of", total},
                         {"loss", figure("loss")},
                         {"h", figure("h")},
                         {"macro_f1", figure("macro_f1")},
                         {"samples_per_second", Short(rate)}});
    logged_ = now;
    logged_samples_ = samples_;
  }
  return Status();
}

Status TrainerLoop::TooManyNonfinite(std::uint64_t step) {
  const std::filesystem::path folder = context_.layout.Nonfinite(context_.job_id(), step);
  Result<bool> recorded = false;
  const Status status = nn::Guard([&] {
    recorded = recipe_.RecordUndone(folder);
    return recorded ? Status() : recorded.error();
  });
  std::string record;
  if (!status.ok()) {
    record = "; what that step read is not recorded: " + std::string(status.message());
  } else if (*recorded) {
    record = "; what that step read: " + folder.string() + "; replay it: python tests/replay/replay_step.py " +
             folder.string();
  }
  return DataLossError("the loss was not finite too often; lower the learning rate, or look at the data: steps=" +
                       std::to_string(nonfinite_) + " max_nonfinite=" + std::to_string(options_.max_nonfinite) +
                       " last_step=" + std::to_string(step) + record)
      .WithExitCode(exit_code::kBadData);
}

JobProgress TrainerLoop::Progress() const {
  const ProcessUsage usage = UsageOfThisProcess();
  JobProgress progress;
  progress.step = next_step_;
  progress.total_steps = recipe_.total_steps();
  progress.samples = samples_;
  // All ranks of a job do the same work.
  progress.cpu_seconds = usage.cpu_seconds * context_.world.size();
  progress.peak_rss_bytes = usage.peak_rss_bytes;
  for (const auto& [name, value] : figures_) {
    if (std::isfinite(value)) progress.metrics.emplace(name, value);
  }
  progress.distributions = distributions_;
  if (options_.board != nullptr) progress.distributions["collective_seconds"] = options_.board->CollectiveSeconds();
  const CheckpointCost cost = writer_->cost();
  if (cost.bytes > 0) {
    progress.metrics["checkpoint_bytes"] = static_cast<double>(cost.bytes);
    progress.metrics["checkpoint_waited_seconds"] = cost.copy_seconds;
    progress.metrics["checkpoint_write_seconds"] = cost.write_seconds;
  }
  return progress;
}

Status TrainerLoop::Save() {
  checkpoint_due_ = false;
  if (saved_step_ == next_step_) return Status();
  Enter(Activity::kSaving);
  const TraceScope scope(context_.trace, "checkpoint copy");
  const Status status = nn::Guard([&]() -> Status {
    SavedJob job{next_step_, samples_, nonfinite_, {}};
    FERMENT_ASSIGN_OR_RETURN(job.state, recipe_.State());
    return leads() ? writer_->Begin(job) : Status();
  });
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context_.world, status));
  saved_step_ = next_step_;
  return Status();
}

Status TrainerLoop::AwaitSaved() {
  Enter(Activity::kSaving);
  return AgreeOnStatus(context_.world, leads() ? writer_->Wait() : Status());
}

Status TrainerLoop::Finish() {
  FERMENT_RETURN_IF_ERROR(Save());
  Enter(Activity::kFinishing);
  auto result = nn::Guard([&] { return recipe_.Finish(); });
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context_.world, result ? Status() : result.error()));
  FERMENT_RETURN_IF_ERROR(AwaitSaved());
  Status status;
  if (leads()) {
    auto published = files_.Publish(*result, samples_);
    if (published) {
      published->last = Progress();
      for (const auto& [name, value] : result->metrics) published->last.metrics[name] = value;
      status = client_.Complete(*published);
    } else {
      status = published.error();
    }
  }
  return AgreeOnStatus(context_.world, status);
}

}  // namespace ferment::worker
