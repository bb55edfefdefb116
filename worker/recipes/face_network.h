// SPDX-License-Identifier: Apache-2.0
//
// Networks as the recipes start them: from a seed, from model.init, or from what an earlier job published.
#pragma once

#include <memory>

#include "common/nn/backbone.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Returns: Init(seed, stream): the spec's network with weights drawn from the seed, and over them those of the file
/// that model.init names (PyTorch's zip or safetensors); a head that is absent or of other classes stays as drawn.
/// Errors: those of io::ReadWeights, io::ImportWeights and LoadState, all with 65.
Result<std::shared_ptr<nn::Backbone>> MakeInitialNetwork(const RecipeContext& context, std::uint64_t stream,
                                                         torch::Dtype dtype);

/// Returns: the spec's network with these weights. Errors: those of LoadState.
Result<std::shared_ptr<nn::Backbone>> MakeNetwork(const RecipeContext& context, const NamedTensors& weights,
                                                  torch::Dtype dtype);

/// Returns: a copy of the state as it is published: in float32, whatever the network was trained in.
NamedTensors PublishedState(const NamedTensors& state);
NamedTensors PublishedState(const nn::Backbone& network);

/// Errors: InvalidArgument (64) where a batch has fewer rows than there are ranks.
Status CheckRowsForRanks(std::string_view key, std::uint64_t batch, int ranks);

}  // namespace ferment::worker
