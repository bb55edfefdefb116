// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/supervised_recipe.h"

#include <array>
#include <cmath>
#include <deque>
#include <optional>
#include <utility>

#include "worker/feed/face_views.h"
#include "worker/recipes/best_checkpoint.h"
#include "worker/recipes/face_network.h"
#include "worker/recipes/rank_rows.h"
#include "worker/train/exchange/flat_reductions.h"
#include "worker/train/exchange/gradient_exchange.h"
#include "worker/train/losses.h"

namespace ferment::worker {
namespace {

class SupervisedRecipe : public Recipe {
 public:
  SupervisedRecipe(const RecipeContext& context, SupervisedPlan plan) : context_(context), plan_(std::move(plan)) {}

  JobInputs Inputs() const override { return plan_.inputs(); }

  Status Prepare() override {
    FERMENT_RETURN_IF_ERROR(CheckRowsForRanks(plan_.batch_key, plan_.batch, context_.world.size()));
    FERMENT_ASSIGN_OR_RETURN(auto stream, OpenLabelledStream(context_.spec));
    feed_ = std::make_unique<BatchFeed>(
        std::move(stream), nullptr,
        BatchFeed::Options{
            .labelled_batch = plan_.batch, .rank = context_.world.rank(), .ranks = context_.world.size()});
    FERMENT_ASSIGN_OR_RETURN(validation_, Validation::Load(context_, context_.world));
    for (const SupervisedPlan::Subject& subject : plan_.subjects) {
      FERMENT_ASSIGN_OR_RETURN(auto network, subject.make());
      networks_.push_back(std::make_unique<TrainedNetwork>(std::move(network), plan_.optimizer));
      networks_.back()->net->train();
      exchanges_.emplace_back(networks_.back()->bucket, context_.world);
    }
    best_.resize(networks_.size());
    return Status();
  }

  std::uint64_t total_steps() const override { return plan_.schedule.total_steps; }

  Result<StepFigures> Step(std::uint64_t step) override {
    FERMENT_ASSIGN_OR_RETURN(const FeedStep rows, GetOnAllRanks(*feed_, step, context_));
    const torch::Tensor faces = WeakFaces(rows.labelled, context_.spec.seed(), {.device = context_.device});
    const torch::Tensor labels = rows.labelled.labels.to(context_.device);
    StepFigures figures;
    figures.samples = plan_.batch * networks_.size();
    const double lr = plan_.schedule.At(step);
    figures.values["lr"] = lr;
    std::vector<Lesson> lessons;
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      networks_[i]->Remember(TrainedNetwork::Keep::kStatistics);
      FERMENT_ASSIGN_OR_RETURN(const Lesson lesson, Differentiate(i, faces, labels));
      figures.finite = figures.finite && lesson.finite && networks_[i]->sgd.StaysFinite(lr, lesson.norm);
      figures.values[FigureOf("loss", i)] = lesson.loss;
      lessons.push_back(lesson);
    }
    // All make the step or none does, so that all see the same batches.
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      const TraceScope scope(context_.trace, "update");
      if (figures.finite) {
        networks_[i]->sgd.Step(lr, lessons[i].norm);
      } else {
        networks_[i]->GoBack();
      }
    }
    if (!Validation::Due(step, total_steps())) return figures;
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      nn::Backbone& network = *networks_[i]->net;
      FERMENT_ASSIGN_OR_RETURN(const auto confusion, validation_->Evaluate(network));
      figures.values[FigureOf("macro_f1", i)] = confusion.MacroF1();
      if (plan_.publish_best) best_[i].Offer(nn::StateOf(network), step + 1, confusion);
    }
    return figures;
  }

  Result<RecipeState> State() const override {
    RecipeState state;
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      state.tensors[plan_.subjects[i].role] = nn::StateOf(*networks_[i]->net);
      state.tensors[plan_.subjects[i].role + "_optimizer"] = networks_[i]->bucket.Named(networks_[i]->sgd.momentum());
      best_[i].Save(plan_.subjects[i].role + "_best", state);
    }
    return state;
  }

  Status Restore(const RecipeState& state, std::uint64_t) override {
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      const auto weights = state.tensors.find(plan_.subjects[i].role);
      const auto momentum = state.tensors.find(plan_.subjects[i].role + "_optimizer");
      if (weights == state.tensors.end() || momentum == state.tensors.end()) {
        return DataLossError("the checkpoint lacks a network: " + plan_.subjects[i].role)
            .WithExitCode(exit_code::kUnreadableState);
      }
      FERMENT_RETURN_IF_ERROR(nn::LoadState(*networks_[i]->net, weights->second));
      FERMENT_RETURN_IF_ERROR(networks_[i]->bucket.Load(momentum->second, networks_[i]->sgd.momentum()));
      FERMENT_RETURN_IF_ERROR(best_[i].Restore(plan_.subjects[i].role + "_best", state));
    }
    return Status();
  }

  Result<RecipeResult> Finish() override {
    RecipeResult result;
    FERMENT_ASSIGN_OR_RETURN(result.metrics["damaged_faces"], CountDamagedFaces(*feed_, context_.world));
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      nn::Backbone& network = *networks_[i]->net;
      FERMENT_ASSIGN_OR_RETURN(const auto confusion, validation_->Evaluate(network));
      // The only offer where the last is to be published.
      best_[i].Offer(nn::StateOf(network), total_steps(), confusion);
      const BestCheckpoint::Kept& best = *best_[i].kept();
      result.metrics[FigureOf("macro_f1", i)] = best.macro_f1;
      result.metrics[FigureOf("accuracy", i)] = best.accuracy;
      if (plan_.publish_best) result.metrics[FigureOf("best_step", i)] = static_cast<double>(best.steps);
      result.models.push_back({plan_.subjects[i].role, best.state});
    }
    return result;
  }

 private:
  struct Lesson {
    double loss = 0;  // global mean
    double norm = 0;  // of the gradient
    /// Whether loss, gradient and statistics are.
    bool finite = false;
  };

  /// Returns: the name of a subject's figure; the first's have none of their own.
  std::string FigureOf(const std::string& figure, std::size_t subject) const {
    return subject == 0 ? figure : figure + '_' + plan_.subjects[subject].role;
  }

  /// Leaves the gradient of a step of one network in it; equal on all ranks.
  Result<Lesson> Differentiate(std::size_t subject, const torch::Tensor& faces, const torch::Tensor& labels) {
    TrainedNetwork& network = *networks_[subject];
    network.bucket.ZeroGradients();
    torch::Tensor sum;
    {
      const TraceScope scope(context_.trace, "forward");
      sum = CrossEntropySum(network.net->forward(faces), labels, plan_.label_smoothing);
    }
    const double batch = static_cast<double>(plan_.batch);
    {
      const TraceScope scope(context_.trace, "backward");
      FERMENT_RETURN_IF_ERROR(exchanges_[subject].Backward(sum / batch, context_.trace));
    }
    const TraceScope scope(context_.trace, "update");
    FERMENT_RETURN_IF_ERROR(network.statistics.AverageOverRanks(context_.world));
    double loss = sum.item<double>();
    if (context_.world.size() > 1) FERMENT_RETURN_IF_ERROR(context_.world.AllReduceSum(std::span<double>(&loss, 1)));
    loss /= batch;
    const double norm = network.sgd.GradientNorm();
    return Lesson{loss, norm, std::isfinite(loss) && std::isfinite(norm) && AllFinite(network.statistics.statistics())};
  }

  const RecipeContext& context_;
  const SupervisedPlan plan_;
  std::unique_ptr<BatchFeed> feed_;
  std::optional<Validation> validation_;
  std::vector<std::unique_ptr<TrainedNetwork>> networks_;
  std::deque<GradientExchange> exchanges_;  // one a network
  std::vector<BestCheckpoint> best_;        // one a network
};

}  // namespace

std::unique_ptr<Recipe> MakeSupervisedRecipe(const RecipeContext& context, SupervisedPlan plan) {
  return std::make_unique<SupervisedRecipe>(context, std::move(plan));
}

}  // namespace ferment::worker
