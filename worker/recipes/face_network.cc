// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/face_network.h"

#include <map>

namespace ferment::worker {
namespace {

/// Convolutions run fastest on channels-last weights; the buckets keep the layout they find.
std::shared_ptr<nn::Backbone> Placed(std::shared_ptr<nn::Backbone> network, const RecipeContext& context,
                                     torch::Dtype dtype) {
  torch::NoGradGuard no_grad;
  network->to(context.device, dtype);
  for (torch::Tensor& parameter : network->parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  }
  return network;
}

}  // namespace

Result<std::shared_ptr<nn::Backbone>> MakeInitialNetwork(const RecipeContext& context, std::uint64_t stream,
                                                         torch::Dtype dtype) {
  const auto network = nn::MakeBackbone(nn::BackboneOf(context.spec), context.spec.seed(), stream);
  if (context.spec.model().init() != "random") {
    FERMENT_ASSIGN_OR_RETURN(NamedTensors weights, nn::LoadTensors(context.spec.model().init()));
    std::map<std::string, torch::Tensor> drawn;
    for (const auto& [name, tensor] : nn::StateOf(*network)) drawn.emplace(name, tensor);
    for (auto& [name, tensor] : weights) {
      const bool classifier = name.starts_with("fc.") || name.starts_with("classifier.");
      if (classifier && drawn.contains(name) && drawn[name].sizes() != tensor.sizes()) tensor = drawn[name];
    }
    const Status loaded = nn::LoadState(*network, weights);
    if (!loaded.ok())
      return Fail(loaded.With("model.init=" + context.spec.model().init()).WithExitCode(exit_code::kBadData));
  }
  return Placed(network, context, dtype);
}

Result<std::shared_ptr<nn::Backbone>> MakeNetwork(const RecipeContext& context, const NamedTensors& weights,
                                                  torch::Dtype dtype) {
  const auto network = nn::MakeBackbone(nn::BackboneOf(context.spec), context.spec.seed(), 0);
  FERMENT_RETURN_IF_ERROR(nn::LoadState(*network, weights));
  return Placed(network, context, dtype);
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
