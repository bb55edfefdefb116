// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_recipe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "common/base/logging.h"
#include "worker/feed/batch_feed.h"
#include "worker/feed/face_views.h"
#include "worker/recipes/cotrain/cotrain_data.h"
#include "worker/recipes/cotrain/cotrain_networks.h"
#include "worker/recipes/cotrain/cotrain_plan.h"
#include "worker/recipes/cotrain/cotrain_step.h"
#include "worker/recipes/cotrain/step_recorder.h"
#include "worker/recipes/rank_rows.h"
#include "worker/train/validation.h"

namespace ferment::worker {
namespace {

class CotrainRecipe : public Recipe {
 public:
  explicit CotrainRecipe(const RecipeContext& context)
      : context_(context),
        cotrain_(context.spec.cotrain()),
        schedule_(cotrain_, context.round),
        baseline_(cotrain_.feedback().baseline()) {
    // Faces and weights; what else is in bfloat16, the rules say.
    target_ = {.device = context.device, .dtype = cotrain_.dtype() == "float64" ? torch::kFloat64 : torch::kFloat32};
  }

  JobInputs Inputs() const override { return CotrainInputs(context_); }

  Status Prepare() override {
    FERMENT_ASSIGN_OR_RETURN(placement_, CotrainPlacement::Make(cotrain_, context_.world));
    FERMENT_ASSIGN_OR_RETURN(networks_, CotrainNetworks::Make(context_, *placement_, target_.dtype));
    FERMENT_ASSIGN_OR_RETURN(auto labelled, OpenLabelledStream(context_.spec));
    FERMENT_ASSIGN_OR_RETURN(auto unlabelled, OpenUnlabelledStream(context_));
    label_staleness_ = unlabelled.staleness;
    feed_ = std::make_unique<BatchFeed>(
        std::move(labelled), std::move(unlabelled.stream),
        BatchFeed::Options{.labelled_batch = cotrain_.batch(),
                           .unlabelled_batch = std::uint64_t{cotrain_.batch()} * cotrain_.mu(),
                           .rank = placement_->group().rank(),
                           .ranks = placement_->group().size()});
    FERMENT_ASSIGN_OR_RETURN(validation_, Validation::Load(context_, placement_->group()));
    FERMENT_ASSIGN_OR_RETURN(const CotrainRules rules, RulesOf(cotrain_));
    step_ = std::make_unique<CotrainStep>(networks_->teacher(), networks_->student(), networks_->average(), baseline_,
                                          rules, *placement_, context_.trace);
    if (context_.recording) recorder_.emplace(context_);
    return recorder_ ? recorder_->MakeFolder() : Status();
  }

  std::uint64_t total_steps() const override { return cotrain_.steps(); }

  Result<StepFigures> Step(std::uint64_t step) override {
    undone_.reset();
    FERMENT_RETURN_IF_ERROR(LookAgainAtPending());
    FERMENT_ASSIGN_OR_RETURN(const FeedStep rows, GetOnAllRanks(*feed_, step, context_));
    const CotrainBatch batch = MakeBatch(rows);
    CotrainRates rates = schedule_.At(step);
    rates.record = recorder_ && recorder_->Wants(step);
    if (rates.record) {
      FERMENT_ASSIGN_OR_RETURN(const CotrainState before, networks_->State());
      recorder_->Begin(before);
    }
    FERMENT_ASSIGN_OR_RETURN(const CotrainOutcome outcome, step_->Run(step, batch, rates));
    if (rates.record) FERMENT_RETURN_IF_ERROR(Record({step, rows.unlabelled.keys, batch, rates, outcome}));
    if (!outcome.finite) undone_ = {step, rows.unlabelled.keys, batch, rates, outcome};
    if (outcome.undone_in == StepPart::kStudent) WarnWherePastLimit(step, outcome.student);
    StepFigures figures;
    figures.samples = static_cast<std::uint64_t>(batch.global_labelled + batch.global_unlabelled);
    figures.finite = outcome.finite;
    figures.values = {{"loss", outcome.teacher.loss},
                      {"loss_labelled", outcome.teacher.loss_labelled},
                      {"loss_unlabelled", outcome.teacher.loss_unlabelled},
                      {"student_loss", outcome.student.loss},
                      {"old_loss", outcome.student.old_loss},
                      {"new_loss", outcome.student.new_loss},
                      {"h_raw", outcome.student.h_raw},
                      {"h", outcome.h},
                      {"baseline", outcome.baseline_after},
                      {"feedback_loss", outcome.teacher.feedback_loss},
                      {"accepted", outcome.teacher.accepted / static_cast<double>(batch.global_unlabelled)},
                      {"grad_norm_teacher", outcome.teacher.grad_norm},
                      {"grad_norm_student", outcome.student.grad_norm},
                      {"lr", rates.lr_student},
                      {"lr_teacher", rates.lr_teacher}};
    figures.label_staleness = label_staleness_;
    if (outcome.feedback_dropped != nullptr) {
      figures.events.push_back(std::string("feedback_dropped_") + outcome.feedback_dropped);
    } else if (cotrain_.feedback().form() == "cosine") {
      figures.values["feedback_cosine"] = outcome.student.h_raw;
    }
    if (Validation::Due(step, total_steps())) {
      FERMENT_ASSIGN_OR_RETURN(figures.values["macro_f1"], EvaluateAverage());
    }
    return figures;
  }

  Result<RecipeState> State() const override {
    FERMENT_ASSIGN_OR_RETURN(CotrainState networks, networks_->State());
    RecipeState state;
    state.tensors["teacher"] = std::move(networks.teacher);
    state.tensors["student"] = std::move(networks.student);
    state.tensors["ema"] = std::move(networks.average);
    state.tensors["optimizer"] = std::move(networks.optimizer);
    state.scalars["baseline"] = baseline_.value();
    if (const ClassThresholds& thresholds = step_->thresholds(); thresholds.dynamic()) {
      const ClassStatus& status = thresholds.status();
      state.scalars["class_status"] = {{"labelled", status.labelled}, {"confident", status.confident}};
    }
    if (const auto& pending = step_->pending(); pending && placement_->teaches()) {
      NamedTensors labels = {{"label", pending->credit.labels.label}, {"trained", pending->credit.labels.trained}};
      for (auto& [name, tensor] : labels) {
        FERMENT_ASSIGN_OR_RETURN(tensor, GatherRows(tensor, placement_->group()));
      }
      state.tensors["pending"] = std::move(labels);
      state.scalars["pending"] = {{"step", pending->step}, {"h", pending->credit.h}};
    }
    return state;
  }

  Status Restore(const RecipeState& state, std::uint64_t) override {
    FERMENT_RETURN_IF_ERROR(networks_->Restore(state.tensors));
    baseline_.set_value(state.scalars.value("baseline", 0.0));
    FERMENT_RETURN_IF_ERROR(RestoreThresholds(state.scalars.value("class_status", Json::object())));
    return RestorePending(state);
  }

  Result<bool> RecordUndone(const std::filesystem::path& folder) override {
    if (!undone_) return false;
    FERMENT_RETURN_IF_ERROR(CheckReplayable(context_.spec));
    FERMENT_ASSIGN_OR_RETURN(const CotrainState state, networks_->State());
    FERMENT_RETURN_IF_ERROR(StepRecorder(context_, {undone_->step, folder}).RecordUndone(Made(*undone_, {}), state));
    return true;
  }

  Result<RecipeResult> Finish() override {
    RecipeResult result;
    result.metrics = {{"baseline", baseline_.value()}};
    FERMENT_ASSIGN_OR_RETURN(result.metrics["damaged_faces"], CountDamagedFaces(*feed_, context_.world));
    FERMENT_ASSIGN_OR_RETURN(result.metrics["macro_f1"], EvaluateAverage(&result.metrics["accuracy"]));
    std::array teacher = {0.0};
    if (const TrainedNetwork* network = networks_->teacher()) {
      FERMENT_ASSIGN_OR_RETURN(const auto confusion, validation_->Evaluate(*network->net));
      teacher[0] = confusion.MacroF1();
    }
    FERMENT_RETURN_IF_ERROR(placement_->FromTeacher(teacher));
    result.metrics["macro_f1_teacher"] = teacher[0];
    FERMENT_ASSIGN_OR_RETURN(result.models, networks_->Models());
    return result;
  }

 private:
  CotrainBatch MakeBatch(const FeedStep& rows) const {
    const TraceScope scope(context_.trace, "views");
    const std::uint64_t seed = context_.spec.seed();
    CotrainBatch batch;
    batch.labelled = WeakFaces(rows.labelled, seed, target_);
    batch.labels = rows.labelled.labels.to(context_.device);
    if (placement_->teaches()) batch.weak = WeakFaces(rows.unlabelled, seed, target_);
    batch.strong = StrongFaces(rows.unlabelled, seed, target_);
    if (cotrain_.pseudo_label().source() == "offline") {
      batch.offline_labels = rows.unlabelled.labels.to(context_.device);
      batch.offline_trained = torch::ones_like(batch.offline_labels);
    }
    batch.global_labelled = cotrain_.batch();
    batch.global_unlabelled = std::int64_t{cotrain_.batch()} * cotrain_.mu();
    return batch;
  }

  /// Macro F1 of the averaged student, and its accuracy where that is asked for; the same on every rank.
  Result<double> EvaluateAverage(double* accuracy = nullptr) const {
    std::array figures = {0.0, 0.0};
    if (const AveragedNetwork* network = networks_->average()) {
      FERMENT_ASSIGN_OR_RETURN(const auto confusion, validation_->Evaluate(*network->net));
      figures = {confusion.MacroF1(), confusion.Accuracy()};
    }
    FERMENT_RETURN_IF_ERROR(placement_->FromStudent(figures));
    if (accuracy != nullptr) *accuracy = figures[1];
    return figures[0];
  }

  Status RestoreThresholds(const Json& saved) {
    ClassStatus status;
    for (const auto& [name, shares] : {std::pair("labelled", &status.labelled), {"confident", &status.confident}}) {
      *shares = saved.value(name, std::vector<double>());
      const int classes = static_cast<int>(shares->size());
      if (classes != 0 && classes != context_.spec.classes_size()) {
        return DataLossError("the checkpoint has a class status of other classes: classes=" + std::to_string(classes) +
                             " expected=" + std::to_string(context_.spec.classes_size()))
            .WithExitCode(exit_code::kUnreadableState);
      }
    }
    step_->thresholds().set_status(std::move(status));
    return Status();
  }

  Status RestorePending(const RecipeState& state) {
    if (cotrain_.feedback().max_lag() == 0 || !state.tensors.contains("pending")) return Status();
    const Json figures = state.scalars.value("pending", Json::object());
    PendingCredit pending;
    pending.step = figures.value("step", std::uint64_t{0});
    pending.credit.h = figures.value("h", 0.0);
    const RowRange mine = feed_->unlabelled_rows();
    for (const auto& [name, tensor] : state.tensors.at("pending")) {
      torch::Tensor& rows = name == "label" ? pending.credit.labels.label : pending.credit.labels.trained;
      rows = tensor.slice(0, static_cast<std::int64_t>(mine.begin), static_cast<std::int64_t>(mine.end))
                 .to(context_.device);
    }
    step_->pending() = std::move(pending);
    return Status();
  }

  /// After a restart: makes the views anew that late feedback credits.
  Status LookAgainAtPending() {
    auto& pending = step_->pending();
    if (!pending || pending->credit.view.defined() || !placement_->teaches()) return Status();
    FERMENT_ASSIGN_OR_RETURN(const FeedStep rows, feed_->Get(pending->step));
    const CotrainBatch batch = MakeBatch(rows);
    pending->credit.view = cotrain_.feedback().view() == "strong" ? batch.strong : batch.weak;
    return Status();
  }

  /// Nothing of such a step need look amiss otherwise.
  void WarnWherePastLimit(std::uint64_t step, const StudentFigures& student) const {
    const bool finite =
        std::isfinite(student.old_loss) && std::isfinite(student.new_loss) && std::isfinite(student.h_raw);
    const bool usable = IsUsableFeedback(student.old_loss, student.new_loss, student.h_raw);
    if (!finite || usable || context_.world.rank() != 0) return;
    LogWarning("feedback_past_limit",
               {{"step", step},
                {"L_old", student.old_loss},
                {"L_new", student.new_loss},
                {"limit", kLargestFeedback},
                {"next",
                 "the step is undone; where many are, begin with a trained teacher, lower cotrain.lr_student, "
                 "or raise cotrain.feedback.start_step"}});
  }

  /// A step with all that it was given and has made.
  struct Past {
    std::uint64_t step;
    std::vector<std::uint64_t> keys;
    CotrainBatch batch;
    CotrainRates rates;
    CotrainOutcome outcome;
  };

  MadeStep Made(const Past& past, NamedTensors gradients) const {
    StepFacts facts = {.step = past.step,
                       .world_size = context_.world.size(),
                       .teacher_ranks = RowsOfRanks(context_.spec, placement_->teacher_ranks()),
                       .student_ranks = RowsOfRanks(context_.spec, placement_->student_ranks()),
                       .weight_decay_excluded = networks_->ExcludedFromDecay(),
                       .rates = past.rates};
    return {past.batch, past.keys, past.outcome, std::move(gradients), std::move(facts), *placement_};
  }

  Status Record(const Past& past) {
    NamedTensors gradients;
    if (past.outcome.finite) {
      FERMENT_ASSIGN_OR_RETURN(gradients,
                               networks_->OfBoth(past.outcome.teacher.gradient, past.outcome.student.gradient));
    }
    FERMENT_ASSIGN_OR_RETURN(const CotrainState after, networks_->State());
    return recorder_->End(Made(past, std::move(gradients)), after);
  }

  const RecipeContext& context_;
  const v1::CotrainSpec& cotrain_;
  const CotrainSchedule schedule_;
  ViewTarget target_;
  FeedbackBaseline baseline_;
  std::optional<CotrainPlacement> placement_;
  std::unique_ptr<CotrainNetworks> networks_;
  std::unique_ptr<BatchFeed> feed_;
  std::optional<std::uint32_t> label_staleness_;
  std::optional<Validation> validation_;
  std::unique_ptr<CotrainStep> step_;
  std::optional<StepRecorder> recorder_;
  /// The last step, where it was not finite.
  std::optional<Past> undone_;
};

}  // namespace

std::unique_ptr<Recipe> MakeCotrainRecipe(const RecipeContext& context) {
  return std::make_unique<CotrainRecipe>(context);
}

}  // namespace ferment::worker
