// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain_recipe.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "worker/collective/rank_agreement.h"
#include "worker/feed/batch_feed.h"
#include "worker/feed/face_views.h"
#include "worker/recipes/cotrain_data.h"
#include "worker/recipes/cotrain_step.h"
#include "worker/recipes/face_network.h"
#include "worker/recipes/published_models.h"
#include "worker/recipes/rank_rows.h"
#include "worker/recipes/step_recorder.h"
#include "worker/train/learning_rate.h"
#include "worker/train/rank_statistics.h"
#include "worker/train/validation.h"

namespace ferment::worker {
namespace {

Status NotYet(std::string_view key, std::string_view value) {
  return InvalidArgumentError("not in this version: " + std::string(key) + "=" + std::string(value))
      .WithExitCode(exit_code::kBadSpec);
}

/// What the schema offers and this version does not do.
Status CheckOffered(const RecipeContext& context) {
  const auto& cotrain = context.spec.cotrain();
  if (cotrain.dtype() != "float32" && cotrain.dtype() != "float64") return NotYet("cotrain.dtype", cotrain.dtype());
  if (cotrain.pseudo_label().threshold_rule() != "fixed")
    return NotYet("cotrain.pseudo_label.threshold_rule", cotrain.pseudo_label().threshold_rule());
  return Status();
}

nn::BatchNormMode BatchNormModeOf(const std::string& name) {
  if (name == "sync") return nn::BatchNormMode::kSync;
  return name == "frozen" ? nn::BatchNormMode::kFrozen : nn::BatchNormMode::kLocal;
}

/// Returns: `tensors` under longer names.
NamedTensors Prefixed(std::string_view prefix, NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) name.insert(0, prefix);
  return tensors;
}

class CotrainRecipe : public Recipe {
 public:
  explicit CotrainRecipe(const RecipeContext& context)
      : context_(context), cotrain_(context.spec.cotrain()), baseline_(cotrain_.feedback().baseline()) {
    target_ = {.device = context.device, .dtype = cotrain_.dtype() == "float64" ? torch::kFloat64 : torch::kFloat32};
  }

  Status Prepare() override {
    FERMENT_RETURN_IF_ERROR(CheckOffered(context_));
    FERMENT_ASSIGN_OR_RETURN(placement_, CotrainPlacement::Make(cotrain_, context_.world));
    FERMENT_RETURN_IF_ERROR(PrepareNetworks());
    FERMENT_ASSIGN_OR_RETURN(auto labelled, OpenLabelledStream(context_.spec));
    FERMENT_ASSIGN_OR_RETURN(auto unlabelled, OpenUnlabelledStream(context_));
    feed_ = std::make_unique<BatchFeed>(
        std::move(labelled), std::move(unlabelled),
        BatchFeed::Options{.labelled_batch = cotrain_.batch(),
                           .unlabelled_batch = std::uint64_t{cotrain_.batch()} * cotrain_.mu(),
                           .rank = placement_->group().rank(),
                           .ranks = placement_->group().size()});
    FERMENT_ASSIGN_OR_RETURN(validation_, Validation::Load(context_, placement_->group()));
    FERMENT_ASSIGN_OR_RETURN(const CotrainRules rules, Rules());
    step_ =
        std::make_unique<CotrainStep>(teacher_.get(), student_.get(), average_.get(), baseline_, rules, *placement_);
    const std::uint64_t steps = cotrain_.steps();
    teacher_rate_ = {.base = cotrain_.lr_teacher(), .total_steps = steps, .warmup_steps = cotrain_.warmup_steps()};
    student_rate_ = {.base = cotrain_.lr_student(),
                     .total_steps = steps,
                     .warmup_steps = cotrain_.warmup_steps(),
                     .wait_steps = cotrain_.student_wait_steps()};
    if (context_.recording) recorder_.emplace(context_);
    return recorder_ ? recorder_->MakeFolder() : Status();
  }

  std::uint64_t total_steps() const override { return cotrain_.steps(); }

  Result<StepFigures> Step(std::uint64_t step) override {
    FERMENT_RETURN_IF_ERROR(LookAgainAtPending());
    const auto fed = feed_->Get(step);
    FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context_.world, fed ? Status() : fed.error()));
    const FeedStep& rows = *fed;
    const CotrainBatch batch = MakeBatch(rows);
    CotrainRates rates = RatesOf(step);
    rates.record = recorder_ && recorder_->Wants(step);
    if (rates.record) {
      FERMENT_ASSIGN_OR_RETURN(const CotrainState before, Networks());
      recorder_->Begin(before);
    }
    FERMENT_ASSIGN_OR_RETURN(const CotrainOutcome outcome, step_->Run(step, batch, rates));
    if (rates.record) FERMENT_RETURN_IF_ERROR(Record(step, rows, batch, rates, outcome));
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
    if (Validation::Due(step, total_steps())) {
      FERMENT_ASSIGN_OR_RETURN(figures.values["macro_f1"], EvaluateAverage());
    }
    return figures;
  }

  Result<RecipeState> State() const override {
    FERMENT_ASSIGN_OR_RETURN(CotrainState networks, Networks());
    RecipeState state;
    state.tensors["teacher"] = std::move(networks.teacher);
    state.tensors["student"] = std::move(networks.student);
    state.tensors["ema"] = std::move(networks.average);
    state.tensors["optimizer"] = std::move(networks.optimizer);
    state.scalars["baseline"] = baseline_.value();
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
    for (const char* stem : {"teacher", "student", "ema", "optimizer"}) {
      if (!state.tensors.contains(stem)) {
        return DataLossError(std::string("the checkpoint lacks a file: ") + stem)
            .WithExitCode(exit_code::kUnreadableState);
      }
    }
    if (teacher_) {
      FERMENT_RETURN_IF_ERROR(nn::LoadState(*teacher_->net, state.tensors.at("teacher")));
      FERMENT_RETURN_IF_ERROR(LoadOptimizer("teacher.", *teacher_, state.tensors.at("optimizer")));
    }
    if (student_) {
      FERMENT_RETURN_IF_ERROR(nn::LoadState(*student_->net, state.tensors.at("student")));
      FERMENT_RETURN_IF_ERROR(nn::LoadState(*average_->net, state.tensors.at("ema")));
      FERMENT_RETURN_IF_ERROR(LoadOptimizer("student.", *student_, state.tensors.at("optimizer")));
    }
    baseline_.set_value(state.scalars.value("baseline", 0.0));
    return RestorePending(state);
  }

  Result<RecipeResult> Finish() override {
    RecipeResult result;
    result.metrics = {{"baseline", baseline_.value()}, {"damaged_faces", static_cast<double>(feed_->DamagedFaces())}};
    FERMENT_ASSIGN_OR_RETURN(result.metrics["macro_f1"], EvaluateAverage(&result.metrics["accuracy"]));
    std::array teacher = {0.0};
    if (teacher_) {
      FERMENT_ASSIGN_OR_RETURN(const auto confusion, validation_->Evaluate(*teacher_->net));
      teacher[0] = confusion.MacroF1();
    }
    FERMENT_RETURN_IF_ERROR(placement_->FromTeacher(teacher));
    result.metrics["macro_f1_teacher"] = teacher[0];
    FERMENT_ASSIGN_OR_RETURN(NamedTensors student, OfStudents(average_ ? average_->net : nullptr));
    FERMENT_ASSIGN_OR_RETURN(NamedTensors raw, OfStudents(student_ ? student_->net : nullptr));
    if (context_.world.rank() != 0) return result;
    result.models.push_back({"teacher", PublishedState(*teacher_->net)});
    result.models.push_back({"student", PublishedState(student)});
    result.models.push_back({"student_raw", PublishedState(raw)});
    return result;
  }

 private:
  Status PrepareNetworks() {
    std::shared_ptr<nn::Backbone> teacher;
    std::shared_ptr<nn::Backbone> student;
    std::shared_ptr<nn::Backbone> average;
    if (context_.from_init) {
      FERMENT_ASSIGN_OR_RETURN(teacher, MakeInitialNetwork(context_, 0, target_.dtype));
    } else {
      FERMENT_ASSIGN_OR_RETURN(const auto models, PublishedModels::Read(context_.layout, TeacherJobOf(context_.round)));
      FERMENT_ASSIGN_OR_RETURN(const NamedTensors weights, models.Load("teacher"));
      FERMENT_ASSIGN_OR_RETURN(teacher, MakeNetwork(context_, weights, target_.dtype));
      if (context_.round > 0) {
        FERMENT_ASSIGN_OR_RETURN(const NamedTensors raw, models.Load("student_raw"));
        FERMENT_ASSIGN_OR_RETURN(student, MakeNetwork(context_, raw, target_.dtype));
        FERMENT_ASSIGN_OR_RETURN(const NamedTensors averaged, models.Load("student"));
        FERMENT_ASSIGN_OR_RETURN(average, MakeNetwork(context_, averaged, target_.dtype));
      }
    }
    if (student == nullptr && cotrain_.student_init() == "model") {
      FERMENT_ASSIGN_OR_RETURN(student, MakeInitialNetwork(context_, 1, target_.dtype));
    }
    if (student == nullptr) {
      FERMENT_ASSIGN_OR_RETURN(student, MakeNetwork(context_, nn::StateOf(*teacher), target_.dtype));
    }
    if (average == nullptr) {
      FERMENT_ASSIGN_OR_RETURN(average, MakeNetwork(context_, nn::StateOf(*student), target_.dtype));
    }
    const nn::BatchNormMode mode = BatchNormModeOf(cotrain_.batch_norm());
    exchange_ = std::make_unique<RankStatistics>(placement_->group());
    teacher->SetBatchNorm(mode, exchange_.get());
    student->SetBatchNorm(mode, exchange_.get());
    const SgdOptions optimizer = {.momentum = cotrain_.momentum(),
                                  .nesterov = cotrain_.nesterov(),
                                  .weight_decay = cotrain_.weight_decay(),
                                  .grad_clip = cotrain_.grad_clip()};
    if (placement_->teaches()) teacher_ = std::make_unique<TrainedNetwork>(std::move(teacher), optimizer);
    if (placement_->learns()) {
      student_ = std::make_unique<TrainedNetwork>(std::move(student), optimizer);
      average_ = std::make_unique<AveragedNetwork>(std::move(average));
    }
    return Status();
  }

  Result<CotrainRules> Rules() const {
    CotrainRules rules;
    rules.tau = cotrain_.tau();
    rules.threshold = cotrain_.threshold();
    rules.label_smoothing = cotrain_.label_smoothing();
    rules.student_mask = cotrain_.student_mask();
    FERMENT_ASSIGN_OR_RETURN(rules.form, ParseFeedbackForm(cotrain_.feedback().form()));
    rules.credit_strong_view = cotrain_.feedback().view() == "strong";
    rules.batch_statistics = cotrain_.feedback().statistics() == "batch";
    rules.average_statistics = cotrain_.batch_norm() == "local";
    rules.late_feedback = cotrain_.feedback().max_lag() > 0;
    return rules;
  }

  CotrainRates RatesOf(std::uint64_t step) const {
    CotrainRates rates;
    rates.lr_teacher = teacher_rate_.At(step);
    rates.lr_student = student_rate_.At(step);
    const double ramp = static_cast<double>(step + 1) / static_cast<double>(cotrain_.lambda_ramp_steps());
    rates.lambda = cotrain_.lambda_u() * std::min(1.0, ramp);
    rates.feedback_on = step >= cotrain_.feedback().start_step();
    // The average of a first round starts from few steps; a later round's goes on.
    const double s = static_cast<double>(step);
    rates.ema_decay = context_.round == 0 ? std::min(cotrain_.ema_decay(), (1 + s) / (10 + s)) : cotrain_.ema_decay();
    return rates;
  }

  CotrainBatch MakeBatch(const FeedStep& rows) const {
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
    if (average_) {
      FERMENT_ASSIGN_OR_RETURN(const auto confusion, validation_->Evaluate(*average_->net));
      figures = {confusion.MacroF1(), confusion.Accuracy()};
    }
    FERMENT_RETURN_IF_ERROR(placement_->FromStudent(figures));
    if (accuracy != nullptr) *accuracy = figures[1];
    return figures[0];
  }

  /// Returns: on rank 0 the state of a network that the student's ranks have, null elsewhere; its own state on others.
  Result<NamedTensors> OfStudents(const std::shared_ptr<nn::Backbone>& network) const {
    return placement_->StudentsToRankZero(nn::StateOf(network ? *network : *teacher_->net));
  }

  /// Every rank calls. Returns: on rank 0 the networks as they are; where this rank has them the tensors share their
  /// memory.
  Result<CotrainState> Networks() const {
    CotrainState state;
    if (teacher_) state.teacher = nn::StateOf(*teacher_->net);
    FERMENT_ASSIGN_OR_RETURN(state.student, OfStudents(student_ ? student_->net : nullptr));
    FERMENT_ASSIGN_OR_RETURN(state.average, OfStudents(average_ ? average_->net : nullptr));
    FERMENT_ASSIGN_OR_RETURN(state.optimizer, OfBoth(teacher_ ? teacher_->sgd.momentum() : torch::Tensor(),
                                                     student_ ? student_->sgd.momentum() : torch::Tensor()));
    return state;
  }

  /// Every rank calls, with the flat buffers that it has. Returns: on rank 0 both by name, teacher.<parameter> and
  /// student.<parameter>.
  Result<NamedTensors> OfBoth(const torch::Tensor& teacher, const torch::Tensor& student) const {
    const TrainedNetwork& any = student_ ? *student_ : *teacher_;
    FERMENT_ASSIGN_OR_RETURN(NamedTensors both, placement_->StudentsToRankZero(Prefixed(
                                                    "student.", any.bucket.Named(student_ ? student : teacher))));
    if (!teacher_) return both;
    NamedTensors all = Prefixed("teacher.", teacher_->bucket.Named(teacher));
    all.insert(all.end(), both.begin(), both.end());
    return all;
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

  Status Record(std::uint64_t step, const FeedStep& rows, const CotrainBatch& batch, const CotrainRates& rates,
                const CotrainOutcome& outcome) {
    StepFacts facts = {.step = step,
                       .world_size = context_.world.size(),
                       .teacher_ranks = RowsOfRanks(context_.spec, placement_->teacher_ranks()),
                       .student_ranks = RowsOfRanks(context_.spec, placement_->student_ranks()),
                       .weight_decay_excluded = (teacher_ ? *teacher_ : *student_).bucket.ExcludedFromDecay(),
                       .rates = rates};
    NamedTensors gradients;
    if (outcome.finite) {
      FERMENT_ASSIGN_OR_RETURN(gradients, OfBoth(outcome.teacher.gradient, outcome.student.gradient));
    }
    FERMENT_ASSIGN_OR_RETURN(const CotrainState after, Networks());
    return recorder_->End({batch, rows.unlabelled.keys, outcome, std::move(gradients), std::move(facts), *placement_},
                          after);
  }

  static Status LoadOptimizer(std::string_view prefix, TrainedNetwork& network, const NamedTensors& state) {
    NamedTensors own;
    for (const auto& [name, tensor] : state) {
      if (name.starts_with(prefix)) own.emplace_back(name.substr(prefix.size()), tensor);
    }
    return network.bucket.Load(own, network.sgd.momentum());
  }

  const RecipeContext& context_;
  const v1::CotrainSpec& cotrain_;
  ViewTarget target_;
  FeedbackBaseline baseline_;
  std::optional<CotrainPlacement> placement_;
  std::unique_ptr<RankStatistics> exchange_;
  std::unique_ptr<TrainedNetwork> teacher_;
  std::unique_ptr<TrainedNetwork> student_;
  std::unique_ptr<AveragedNetwork> average_;
  std::unique_ptr<BatchFeed> feed_;
  std::optional<Validation> validation_;
  std::unique_ptr<CotrainStep> step_;
  LearningRateSchedule teacher_rate_;
  LearningRateSchedule student_rate_;
  std::optional<StepRecorder> recorder_;
};

}  // namespace

std::unique_ptr<Recipe> MakeCotrainRecipe(const RecipeContext& context) {
  return std::make_unique<CotrainRecipe>(context);
}

}  // namespace ferment::worker
