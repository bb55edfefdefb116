// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain_recipe.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "worker/collective/rank_agreement.h"
#include "worker/feed/batch_feed.h"
#include "worker/feed/face_views.h"
#include "worker/recipes/cotrain_data.h"
#include "worker/recipes/cotrain_step.h"
#include "worker/recipes/face_network.h"
#include "worker/recipes/published_models.h"
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
  if (cotrain.placement() != "colocated") return NotYet("cotrain.placement", cotrain.placement());
  if (cotrain.dtype() != "float32" && cotrain.dtype() != "float64") return NotYet("cotrain.dtype", cotrain.dtype());
  if (cotrain.pseudo_label().threshold_rule() != "fixed")
    return NotYet("cotrain.pseudo_label.threshold_rule", cotrain.pseudo_label().threshold_rule());
  if (cotrain.feedback().max_lag() != 0)
    return NotYet("cotrain.feedback.max_lag", std::to_string(cotrain.feedback().max_lag()));
  return CheckRowsForRanks("cotrain.batch", cotrain.batch(), context.world);
}

nn::BatchNormMode BatchNormModeOf(const std::string& name) {
  if (name == "sync") return nn::BatchNormMode::kSync;
  return name == "frozen" ? nn::BatchNormMode::kFrozen : nn::BatchNormMode::kLocal;
}

class CotrainRecipe : public Recipe {
 public:
  explicit CotrainRecipe(const RecipeContext& context)
      : context_(context),
        cotrain_(context.spec.cotrain()),
        baseline_(cotrain_.feedback().baseline()),
        exchange_(context.world) {
    target_ = {.device = context.device, .dtype = cotrain_.dtype() == "float64" ? torch::kFloat64 : torch::kFloat32};
  }

  Status Prepare() override {
    FERMENT_RETURN_IF_ERROR(CheckOffered(context_));
    FERMENT_RETURN_IF_ERROR(PrepareNetworks());
    FERMENT_ASSIGN_OR_RETURN(auto labelled, OpenLabelledStream(context_.spec));
    FERMENT_ASSIGN_OR_RETURN(auto unlabelled, OpenUnlabelledStream(context_));
    feed_ = std::make_unique<BatchFeed>(
        std::move(labelled), std::move(unlabelled),
        BatchFeed::Options{.labelled_batch = cotrain_.batch(),
                           .unlabelled_batch = std::uint64_t{cotrain_.batch()} * cotrain_.mu(),
                           .rank = context_.world.rank(),
                           .ranks = context_.world.size()});
    FERMENT_ASSIGN_OR_RETURN(validation_, Validation::Load(context_));
    FERMENT_ASSIGN_OR_RETURN(const CotrainRules rules, Rules());
    step_ = std::make_unique<CotrainStep>(*teacher_, *student_, *average_, baseline_, rules, context_.world);
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
    const auto fed = feed_->Get(step);
    FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context_.world, fed ? Status() : fed.error()));
    const FeedStep& rows = *fed;
    const CotrainBatch batch = MakeBatch(rows);
    CotrainRates rates = RatesOf(step);
    rates.record = recorder_ && recorder_->Wants(step);
    if (rates.record) recorder_->Begin(Networks());
    FERMENT_ASSIGN_OR_RETURN(const CotrainOutcome outcome, step_->Run(batch, rates));
    if (rates.record) FERMENT_RETURN_IF_ERROR(Record(step, rows, batch, rates, outcome));
    StepFigures figures;
    figures.samples = static_cast<std::uint64_t>(batch.global_labelled + batch.global_unlabelled);
    figures.finite = outcome.finite;
    figures.values = {{"loss", outcome.teacher_loss},
                      {"loss_labelled", outcome.loss_labelled},
                      {"loss_unlabelled", outcome.loss_unlabelled},
                      {"student_loss", outcome.student_loss},
                      {"old_loss", outcome.old_loss},
                      {"new_loss", outcome.new_loss},
                      {"h_raw", outcome.h_raw},
                      {"h", outcome.h},
                      {"baseline", outcome.baseline_after},
                      {"feedback_loss", outcome.feedback_loss},
                      {"accepted", outcome.accepted / static_cast<double>(batch.global_unlabelled)},
                      {"grad_norm_teacher", outcome.grad_norm_teacher},
                      {"grad_norm_student", outcome.grad_norm_student},
                      {"lr", rates.lr_student},
                      {"lr_teacher", rates.lr_teacher}};
    if (Validation::Due(step, total_steps())) {
      FERMENT_ASSIGN_OR_RETURN(const auto confusion, validation_->Evaluate(*average_->net));
      figures.values["macro_f1"] = confusion.MacroF1();
    }
    return figures;
  }

  Result<RecipeState> State() const override {
    CotrainState networks = Networks();
    RecipeState state;
    state.tensors["teacher"] = std::move(networks.teacher);
    state.tensors["student"] = std::move(networks.student);
    state.tensors["ema"] = std::move(networks.average);
    state.tensors["optimizer"] = std::move(networks.optimizer);
    state.scalars["baseline"] = baseline_.value();
    return state;
  }

  Status Restore(const RecipeState& state, std::uint64_t) override {
    for (const char* stem : {"teacher", "student", "ema", "optimizer"}) {
      if (!state.tensors.contains(stem)) {
        return DataLossError(std::string("the checkpoint lacks a file: ") + stem)
            .WithExitCode(exit_code::kUnreadableState);
      }
    }
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*teacher_->net, state.tensors.at("teacher")));
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*student_->net, state.tensors.at("student")));
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*average_->net, state.tensors.at("ema")));
    FERMENT_RETURN_IF_ERROR(LoadOptimizer("teacher.", *teacher_, state.tensors.at("optimizer")));
    FERMENT_RETURN_IF_ERROR(LoadOptimizer("student.", *student_, state.tensors.at("optimizer")));
    baseline_.set_value(state.scalars.value("baseline", 0.0));
    return Status();
  }

  Result<RecipeResult> Finish() override {
    RecipeResult result;
    FERMENT_ASSIGN_OR_RETURN(const auto student, validation_->Evaluate(*average_->net));
    FERMENT_ASSIGN_OR_RETURN(const auto teacher, validation_->Evaluate(*teacher_->net));
    result.metrics = {{"macro_f1", student.MacroF1()},
                      {"accuracy", student.Accuracy()},
                      {"macro_f1_teacher", teacher.MacroF1()},
                      {"baseline", baseline_.value()},
                      {"damaged_faces", static_cast<double>(feed_->DamagedFaces())}};
    result.models.push_back({"teacher", PublishedState(*teacher_->net)});
    result.models.push_back({"student", PublishedState(*average_->net)});
    result.models.push_back({"student_raw", PublishedState(*student_->net)});
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
    teacher->SetBatchNorm(mode, &exchange_);
    student->SetBatchNorm(mode, &exchange_);
    const SgdOptions optimizer = {.momentum = cotrain_.momentum(),
                                  .nesterov = cotrain_.nesterov(),
                                  .weight_decay = cotrain_.weight_decay(),
                                  .grad_clip = cotrain_.grad_clip()};
    teacher_ = std::make_unique<TrainedNetwork>(std::move(teacher), optimizer);
    student_ = std::make_unique<TrainedNetwork>(std::move(student), optimizer);
    average_ = std::make_unique<AveragedNetwork>(std::move(average));
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
    batch.weak = WeakFaces(rows.unlabelled, seed, target_);
    batch.strong = StrongFaces(rows.unlabelled, seed, target_);
    if (cotrain_.pseudo_label().source() == "offline") {
      batch.offline_labels = rows.unlabelled.labels.to(context_.device);
      batch.offline_trained = torch::ones_like(batch.offline_labels);
    }
    batch.global_labelled = cotrain_.batch();
    batch.global_unlabelled = std::int64_t{cotrain_.batch()} * cotrain_.mu();
    return batch;
  }

  /// Returns: the networks as they are; the tensors share their memory.
  CotrainState Networks() const {
    return {nn::StateOf(*teacher_->net), nn::StateOf(*student_->net), nn::StateOf(*average_->net),
            OfBoth(teacher_->sgd.momentum(), student_->sgd.momentum())};
  }

  /// Returns: two flat buffers by name, teacher.<parameter> and student.<parameter>.
  NamedTensors OfBoth(const torch::Tensor& teacher, const torch::Tensor& student) const {
    NamedTensors both;
    for (auto& [name, tensor] : teacher_->bucket.Named(teacher)) both.emplace_back("teacher." + name, tensor);
    for (auto& [name, tensor] : student_->bucket.Named(student)) both.emplace_back("student." + name, tensor);
    return both;
  }

  Status Record(std::uint64_t step, const FeedStep& rows, const CotrainBatch& batch, const CotrainRates& rates,
                const CotrainOutcome& outcome) {
    const std::vector<RankRows> ranks = RowsOfRanks(context_.spec, context_.world.size());
    StepFacts facts = {.step = step,
                       .world_size = context_.world.size(),
                       .teacher_ranks = ranks,
                       .student_ranks = ranks,
                       .weight_decay_excluded = teacher_->bucket.ExcludedFromDecay(),
                       .rates = rates};
    NamedTensors gradients;
    if (outcome.finite) gradients = OfBoth(outcome.teacher_gradient, outcome.student_gradient);
    return recorder_->End({batch, rows.unlabelled.keys, outcome, std::move(gradients), std::move(facts)}, Networks());
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
  RankStatistics exchange_;
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
