// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/temporal_recipe.h"

#include <torch/nn/functional/loss.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "common/base/json_field.h"
#include "common/base/random.h"
#include "common/nn/temporal/temporal_encoder.h"
#include "common/nn/tensor_io.h"
#include "common/report/classification_metrics.h"
#include "worker/feed/clip_feed.h"
#include "worker/feed/rank_sampler.h"
#include "worker/recipes/best_checkpoint.h"
#include "worker/recipes/published_models.h"
#include "worker/recipes/temporal_stage.h"
#include "worker/train/exchange/flat_reductions.h"
#include "worker/train/exchange/gradient_bucket.h"
#include "worker/train/optimizer/adamw.h"
#include "worker/train/optimizer/learning_rate.h"
#include "worker/train/validation.h"

namespace ferment::worker {
namespace {

using torch::Tensor;

/// Adds gradients over ranks as one buffer; there are few parameters here. Returns: whether AdamW can take them: they
/// and their squares are finite. The same on all ranks.
Result<bool> SumGradients(Collective& world, const NamedTensors& parameters) {
  std::vector<Tensor> flat;
  for (const auto& [name, parameter] : parameters)
    flat.push_back((parameter.grad().defined() ? parameter.grad() : torch::zeros_like(parameter)).flatten());
  Tensor buffer = torch::cat(flat).contiguous();
  FERMENT_RETURN_IF_ERROR(SumOverRanks(buffer, world));
  std::int64_t offset = 0;
  for (const auto& [name, parameter] : parameters) {
    parameter.mutable_grad() = buffer.slice(0, offset, offset + parameter.numel()).view_as(parameter);
    offset += parameter.numel();
  }
  return AllFinite(buffer.square());
}

class TemporalRecipe final : public Recipe {
 public:
  explicit TemporalRecipe(const RecipeContext& context) : context_(context), spec_(context.spec) {}

  JobInputs Inputs() const override {
    std::vector<ModelToRead> models;
    for (const char* features : {"student", "teacher"})
      models.push_back({features, "finetune", FeatureModelRole(features)});
    return PublishedOf(context_.layout, models);
  }

  Status Prepare() override {
    stages_ = TemporalStages(spec_);
    FERMENT_ASSIGN_OR_RETURN(const PublishedModels published, PublishedModels::Read(context_.layout, "finetune"));
    for (const char* features : {"student", "teacher"}) {
      FERMENT_ASSIGN_OR_RETURN(const std::string digest, published.Digest(FeatureModelRole(features)));
      FERMENT_ASSIGN_OR_RETURN(clips_[features], LoadClips(spec_, context_.layout, digest));
      FERMENT_RETURN_IF_ERROR(CheckValidated(clips_[features]));
    }
    return StartStage(0);
  }

  std::uint64_t total_steps() const override { return stages_.size() * spec_.temporal().steps(); }

  Result<StepFigures> Step(std::uint64_t step) override {
    const std::uint64_t steps = spec_.temporal().steps();
    const std::size_t stage = step / steps;
    if (stage != stage_) {
      FinishStage();
      FERMENT_RETURN_IF_ERROR(StartStage(stage));
    }
    FERMENT_ASSIGN_OR_RETURN(StepFigures figures, TrainStep(step % steps));
    // Predicting all videos costs as much as many steps: on the way only where the best is looked for.
    if (!ReportsBest(spec_) || !Validation::Due(step % steps, steps)) return figures;
    const report::ConfusionMatrix confusion = Evaluate();
    best_.Offer(nn::StateOf(*encoder_), step % steps + 1, confusion);
    figures.values["macro_f1"] = confusion.MacroF1();
    return figures;
  }

  Result<RecipeState> State() const override {
    RecipeState state;
    for (const auto& model : finished_) state.tensors[model.role] = model.tensors;
    state.tensors["encoder"] = nn::StateOf(*encoder_);
    state.tensors["optimizer"] = optimizer_->State();
    best_.Save("encoder_best", state);
    state.scalars["stage"] = stage_;
    state.scalars["optimizer_steps"] = optimizer_->steps();
    state.scalars["metrics"] = metrics_;
    return state;
  }

  Status Restore(const RecipeState& state, std::uint64_t) override {
    finished_.clear();
    for (const char* stem : {"encoder", "optimizer"}) {
      if (!state.tensors.contains(stem)) return DataLossError(std::string("checkpoint lacks a file: ") + stem);
    }
    for (const char* key : {"stage", "optimizer_steps"}) {
      if (!Field(state.scalars, key).is_number_unsigned())
        return DataLossError(std::string("checkpoint lacks a count: ") + key);
    }
    const std::size_t stage = state.scalars["stage"];
    if (stage >= stages_.size()) return DataLossError("checkpoint of another spec: stage=" + std::to_string(stage));
    for (std::size_t i = 0; i < stage; ++i) {
      const auto found = state.tensors.find(stages_[i].Role());
      if (found == state.tensors.end()) return DataLossError("checkpoint lacks a model: role=" + stages_[i].Role());
      finished_.push_back({found->first, found->second});
    }
    metrics_.clear();
    for (const auto& [name, value] : Field(state.scalars, "metrics").items()) {
      if (!value.is_number()) return DataLossError("checkpoint has a metric that is no number: " + name);
      metrics_[name] = value;
    }
    FERMENT_RETURN_IF_ERROR(StartStage(stage));
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*encoder_, state.tensors.at("encoder")));
    FERMENT_RETURN_IF_ERROR(best_.Restore("encoder_best", state));
    return optimizer_->Restore(state.tensors.at("optimizer"), state.scalars["optimizer_steps"]);
  }

  Result<RecipeResult> Finish() override {
    FinishStage();
    return RecipeResult{.models = finished_, .metrics = metrics_, .evaluation = nullptr};
  }

 private:
  Status StartStage(std::size_t stage) {
    stage_ = stage;
    const std::vector<Clip>& clips = clips_.at(stages_[stage].features);
    FERMENT_ASSIGN_OR_RETURN(WindowSampler sampler,
                             WindowSampler::Make(clips, spec_.temporal().window(), spec_.seed()));
    sampler_.emplace(std::move(sampler));
    const auto config = nn::MakeTemporalConfig(spec_, stages_[stage].encoder, clips.front().frames.features.size(1));
    encoder_ = nn::MakeTemporalEncoder(config, spec_.seed(), StreamOf("temporal/init"));
    encoder_->to(context_.device);
    optimizer_.emplace(Parameters(), AdamWOptions{});
    class_weights_ = ClassWeights();
    best_ = {};
    return {};
  }

  NamedTensors Parameters() const {
    NamedTensors parameters;
    for (const auto& item : encoder_->named_parameters()) parameters.emplace_back(item.key(), item.value());
    return parameters;
  }

  /// [C], mean 1 over the labelled frames; a class without a frame weighs nothing.
  Tensor ClassWeights() const {
    const std::vector<std::uint64_t> counts = sampler_->ClassCounts(spec_.classes_size());
    Tensor weights = torch::zeros({spec_.classes_size()});
    double frames = 0;
    double weighted = 0;
    for (std::size_t c = 0; c < counts.size(); ++c) {
      if (counts[c] == 0) continue;
      const double weight = 1.0 / std::sqrt(static_cast<double>(counts[c]));
      weights[static_cast<std::int64_t>(c)] = weight;
      frames += static_cast<double>(counts[c]);
      weighted += weight * static_cast<double>(counts[c]);
    }
    return weights * (frames / weighted);
  }

  Result<StepFigures> TrainStep(std::uint64_t step) {
    const std::size_t batch = spec_.temporal().batch();
    // Every rank knows the whole batch's labels, and with them the global divisor, without asking.
    const Tensor all_labels = sampler_->Draw(step, batch, 0, batch).labels;
    const double divisor =
        class_weights_.index_select(0, all_labels.masked_select(all_labels >= 0)).sum().item<double>();
    const RowRange rows = RowsOfRank(batch, context_.world.rank(), context_.world.size());
    const WindowBatch mine = sampler_->Draw(step, batch, rows.begin, rows.end);

    encoder_->train();
    // For what LibTorch drops by itself: on a GPU, and between the layers of a GRU.
    torch::manual_seed(RandomBits(spec_.seed(), StreamOf("temporal/dropout"),
                                  step * static_cast<std::uint64_t>(context_.world.size()) +
                                      static_cast<std::uint64_t>(context_.world.rank())) >>
                       1);
    encoder_->zero_grad();
    Tensor loss = torch::zeros({});
    if (mine.features.size(0) > 0) {
      const TraceScope scope(context_.trace, "forward and backward");
      const torch::Device device = context_.device;
      const nn::DropoutSeed dropout{RandomBits(spec_.seed(), StreamOf("temporal/dropout"), step),
                                    static_cast<std::int64_t>(rows.begin)};
      const Tensor logits = encoder_->forward(mine.features.to(device), mine.present.to(device), dropout);
      loss = torch::nn::functional::cross_entropy(logits.flatten(0, 1), mine.labels.flatten().to(device),
                                                  torch::nn::functional::CrossEntropyFuncOptions()
                                                      .weight(class_weights_.to(device))
                                                      .ignore_index(-1)
                                                      .reduction(torch::kSum)) /
             std::max(divisor, 1e-12);
      loss.backward();
    }
    const NamedTensors parameters = Parameters();
    FERMENT_ASSIGN_OR_RETURN(const bool usable, SumGradients(context_.world, parameters));
    double global_loss = loss.item<double>();
    FERMENT_RETURN_IF_ERROR(context_.world.AllReduceSum(std::span(&global_loss, 1)));

    StepFigures figures{
        .samples = batch * spec_.temporal().window(), .finite = usable && std::isfinite(global_loss), .values = {}};
    const double rate = LearningRate(step);
    if (figures.finite) optimizer_->Step(rate);
    figures.values = {{"loss", global_loss}, {"lr", rate}, {"stage", static_cast<double>(stage_)}};
    return figures;
  }

  /// Linear warm-up over the first twentieth, then a cosine to 0.
  double LearningRate(std::uint64_t step) const {
    const std::uint64_t steps = spec_.temporal().steps();
    return LearningRateSchedule{.base = spec_.temporal().lr(), .total_steps = steps, .warmup_steps = steps / 20}.At(
        step);
  }

  /// Of the encoder as it is, on the validation videos, without smoothing.
  report::ConfusionMatrix Evaluate() const {
    report::ConfusionMatrix confusion(spec_.classes_size());
    nn::FramePredictor predictor(*encoder_, spec_.classes_size(), spec_.temporal().window(), spec_.temporal().hop());
    for (const Clip& clip : clips_.at(stages_[stage_].features)) {
      if (clip.set != dataset::VideoSet::kValidation) continue;
      const auto predictions = nn::ArgmaxRows(predictor.Predict(clip.frames));
      for (std::size_t i = 0; i < predictions.size(); ++i) confusion.Add(clip.labels[i], predictions[i]);
    }
    return confusion;
  }

  void FinishStage() {
    const TemporalStage& stage = stages_[stage_];
    const std::string name = stage.features + '_' + stage.encoder;
    // The only offer where the last is to be published.
    best_.Offer(nn::StateOf(*encoder_), spec_.temporal().steps(), Evaluate());
    const BestCheckpoint::Kept& best = *best_.kept();
    metrics_["macro_f1_" + name] = best.macro_f1;
    if (ReportsBest(spec_)) metrics_["best_step_" + name] = static_cast<double>(best.steps);
    finished_.push_back({stage.Role(), best.state});
  }

  const RecipeContext& context_;
  const RunSpec& spec_;
  std::vector<TemporalStage> stages_;
  std::map<std::string, std::vector<Clip>> clips_;
  std::size_t stage_ = 0;
  std::optional<WindowSampler> sampler_;
  std::shared_ptr<nn::TemporalEncoder> encoder_;
  std::optional<AdamW> optimizer_;
  Tensor class_weights_;  // [C], on the CPU
  BestCheckpoint best_;   // of this stage
  std::vector<NamedModel> finished_;
  std::map<std::string, double> metrics_;
};

}  // namespace

std::unique_ptr<Recipe> MakeTemporalRecipe(const RecipeContext& context) {
  return std::make_unique<TemporalRecipe>(context);
}

}  // namespace ferment::worker
