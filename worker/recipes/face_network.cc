// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/face_network.h"

#include <map>

#include "common/io/formats/torch_file.h"
#include "common/io/formats/weights_import.h"

namespace ferment::worker {
namespace {

/// Puts the file's weights over those drawn. A head that is absent or of other classes stays as drawn.
Status StartFrom(const std::string& file, const std::string& backbone, nn::Backbone& network) {
  FERMENT_ASSIGN_OR_RETURN(io::WeightsFile weights, io::ReadWeights(file));
  FERMENT_ASSIGN_OR_RETURN(const io::ImportedWeights imported, io::ImportWeights(std::move(weights), backbone));
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors taken, nn::CopyTensors(imported.weights.views));
  std::map<std::string, torch::Tensor> given(taken.begin(), taken.end());
  NamedTensors state = nn::StateOf(network);
  for (auto& [name, tensor] : state) {
    const auto found = given.find(name);
    if (found == given.end()) continue;
    const bool head = name.starts_with(io::HeadPrefix(backbone));
    if (!head || found->second.sizes() == tensor.sizes()) tensor = found->second;
  }
  return nn::LoadState(network, state);
}

}  // namespace

Result<std::shared_ptr<nn::Backbone>> MakeInitialNetwork(const RecipeContext& context, std::uint64_t stream,
                                                         torch::Dtype dtype) {
  const auto network = nn::MakeBackbone(nn::BackboneOf(context.spec), context.spec.seed(), stream);
  if (context.spec.model().init() != "random") {
    const Status started = StartFrom(context.spec.model().init(), context.spec.model().backbone(), *network);
    if (!started.ok()) {
      return Fail(started.With("model.init=" + context.spec.model().init()).WithExitCode(exit_code::kBadData));
    }
  }
  network->MoveTo(context.device, dtype);
  return network;
}

Result<std::shared_ptr<nn::Backbone>> MakeNetwork(const RecipeContext& context, const NamedTensors& weights,
                                                  torch::Dtype dtype) {
  const auto network = nn::MakeBackbone(nn::BackboneOf(context.spec), context.spec.seed(), 0);
  FERMENT_RETURN_IF_ERROR(nn::LoadState(*network, weights));
  network->MoveTo(context.device, dtype);
  return network;
}

NamedTensors PublishedState(const NamedTensors& state) {
  NamedTensors published;
  for (const auto& [name, tensor] : state) {
    torch::Tensor copy = tensor.detach().to(torch::kCPU).clone(torch::MemoryFormat::Contiguous);
    published.emplace_back(name, copy.scalar_type() == torch::kFloat64 ? copy.to(torch::kFloat32) : copy);
  }
  return published;
}

NamedTensors PublishedState(const nn::Backbone& network) { return PublishedState(nn::StateOf(network)); }

Status CheckRowsForRanks(std::string_view key, std::uint64_t batch, int ranks) {
  if (batch >= static_cast<std::uint64_t>(ranks)) return Status();
  return InvalidArgumentError("a rank would be without rows: " + std::string(key) + "=" + std::to_string(batch) +
                              " ranks=" + std::to_string(ranks) + "; give a larger batch or fewer ranks")
      .WithExitCode(exit_code::kBadSpec);
}

}  // namespace ferment::worker
