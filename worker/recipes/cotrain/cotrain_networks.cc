// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_networks.h"

#include <utility>

#include "worker/recipes/cotrain/cotrain_data.h"
#include "worker/recipes/face_network.h"
#include "worker/recipes/published_models.h"

namespace ferment::worker {
namespace {

using Network = std::shared_ptr<nn::Backbone>;

struct StartingNetworks {
  Network teacher;
  Network student;
  Network average;
};

nn::BatchNormMode BatchNormModeOf(const std::string& name) {
  if (name == "sync") return nn::BatchNormMode::kSync;
  return name == "frozen" ? nn::BatchNormMode::kFrozen : nn::BatchNormMode::kLocal;
}

Result<StartingNetworks> MakeStartingNetworks(const RecipeContext& context, torch::ScalarType dtype) {
  StartingNetworks start;
  if (context.from_init) {
    FERMENT_ASSIGN_OR_RETURN(start.teacher, MakeInitialNetwork(context, 0, dtype));
  } else {
    FERMENT_ASSIGN_OR_RETURN(const auto models, PublishedModels::Read(context.layout, TeacherJobOf(context.round)));
    FERMENT_ASSIGN_OR_RETURN(const NamedTensors weights, models.Load("teacher"));
    FERMENT_ASSIGN_OR_RETURN(start.teacher, MakeNetwork(context, weights, dtype));
    if (context.round > 0) {
      FERMENT_ASSIGN_OR_RETURN(const NamedTensors raw, models.Load("student_raw"));
      FERMENT_ASSIGN_OR_RETURN(start.student, MakeNetwork(context, raw, dtype));
      FERMENT_ASSIGN_OR_RETURN(const NamedTensors averaged, models.Load("student"));
      FERMENT_ASSIGN_OR_RETURN(start.average, MakeNetwork(context, averaged, dtype));
    }
  }
  if (start.student == nullptr && context.spec.cotrain().student_init() == "model") {
    FERMENT_ASSIGN_OR_RETURN(start.student, MakeInitialNetwork(context, 1, dtype));
  }
  if (start.student == nullptr) {
    FERMENT_ASSIGN_OR_RETURN(start.student, MakeNetwork(context, nn::StateOf(*start.teacher), dtype));
  }
  if (start.average == nullptr) {
    FERMENT_ASSIGN_OR_RETURN(start.average, MakeNetwork(context, nn::StateOf(*start.student), dtype));
  }
  return start;
}

/// Returns: `tensors` under longer names.
NamedTensors Prefixed(std::string_view prefix, NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) name.insert(0, prefix);
  return tensors;
}

Status LoadOptimizer(std::string_view prefix, TrainedNetwork& network, const NamedTensors& state) {
  NamedTensors own;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with(prefix)) own.emplace_back(name.substr(prefix.size()), tensor);
  }
  return network.bucket.Load(own, network.sgd.momentum());
}

}  // namespace

Result<std::unique_ptr<CotrainNetworks>> CotrainNetworks::Make(const RecipeContext& context,
                                                               const CotrainPlacement& placement,
                                                               torch::ScalarType dtype) {
  FERMENT_ASSIGN_OR_RETURN(StartingNetworks start, MakeStartingNetworks(context, dtype));
  std::unique_ptr<CotrainNetworks> networks(new CotrainNetworks(context, placement));
  const auto& cotrain = context.spec.cotrain();
  const nn::BatchNormMode mode = BatchNormModeOf(cotrain.batch_norm());
  start.teacher->SetBatchNorm(mode, &networks->exchange_);
  start.student->SetBatchNorm(mode, &networks->exchange_);
  const SgdOptions optimizer = {.momentum = cotrain.momentum(),
                                .nesterov = cotrain.nesterov(),
                                .weight_decay = cotrain.weight_decay(),
                                .grad_clip = cotrain.grad_clip()};
  if (placement.teaches()) networks->teacher_ = std::make_unique<TrainedNetwork>(std::move(start.teacher), optimizer);
  if (placement.learns()) {
    networks->student_ = std::make_unique<TrainedNetwork>(std::move(start.student), optimizer);
    networks->average_ = std::make_unique<AveragedNetwork>(std::move(start.average));
  }
  return networks;
}

Result<NamedTensors> CotrainNetworks::OfStudents(const nn::Backbone* network) const {
  return placement_.StudentsToRankZero(nn::StateOf(network != nullptr ? *network : *teacher_->net));
}

Result<CotrainState> CotrainNetworks::State() const {
  CotrainState state;
  if (teacher_) state.teacher = nn::StateOf(*teacher_->net);
  FERMENT_ASSIGN_OR_RETURN(state.student, OfStudents(student_ ? student_->net.get() : nullptr));
  FERMENT_ASSIGN_OR_RETURN(state.average, OfStudents(average_ ? average_->net.get() : nullptr));
  FERMENT_ASSIGN_OR_RETURN(state.optimizer, OfBoth(teacher_ ? teacher_->sgd.momentum() : torch::Tensor(),
                                                   student_ ? student_->sgd.momentum() : torch::Tensor()));
  return state;
}

Status CotrainNetworks::Restore(const std::map<std::string, NamedTensors>& tensors) {
  for (const char* stem : {"teacher", "student", "ema", "optimizer"}) {
    if (!tensors.contains(stem)) {
      return DataLossError(std::string("the checkpoint lacks a file: ") + stem)
          .WithExitCode(exit_code::kUnreadableState);
    }
  }
  if (teacher_) {
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*teacher_->net, tensors.at("teacher")));
    FERMENT_RETURN_IF_ERROR(LoadOptimizer("teacher.", *teacher_, tensors.at("optimizer")));
  }
  if (student_) {
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*student_->net, tensors.at("student")));
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*average_->net, tensors.at("ema")));
    FERMENT_RETURN_IF_ERROR(LoadOptimizer("student.", *student_, tensors.at("optimizer")));
  }
  return Status();
}

Result<NamedTensors> CotrainNetworks::OfBoth(const torch::Tensor& teacher, const torch::Tensor& student) const {
  FERMENT_ASSIGN_OR_RETURN(NamedTensors both, placement_.StudentsToRankZero(Prefixed(
                                                  "student.", any().bucket.Named(student_ ? student : teacher))));
  if (!teacher_) return both;
  NamedTensors all = Prefixed("teacher.", teacher_->bucket.Named(teacher));
  all.insert(all.end(), both.begin(), both.end());
  return all;
}

Result<std::vector<NamedModel>> CotrainNetworks::Models() const {
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors student, OfStudents(average_ ? average_->net.get() : nullptr));
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors raw, OfStudents(student_ ? student_->net.get() : nullptr));
  std::vector<NamedModel> models;
  if (context_.world.rank() != 0) return models;
  models.push_back({"teacher", PublishedState(*teacher_->net)});
  models.push_back({"student", PublishedState(student)});
  models.push_back({"student_raw", PublishedState(raw)});
  return models;
}

}  // namespace ferment::worker
