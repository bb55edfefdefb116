// SPDX-License-Identifier: Apache-2.0
//
// InsightFace's iresnet50 (arcface_torch), at any width, with a classifier after its embedding.
#pragma once

#include <cstdint>
#include <memory>

#include "common/nn/backbone.h"

namespace ferment::nn {

/// Returns: a network whose state, without `classifier`, loads into arcface_torch's iresnet50 at width 64 and 112 px.
std::shared_ptr<Backbone> MakeIResNet50(const BackboneConfig& config, std::uint64_t seed, std::uint64_t stream);

}  // namespace ferment::nn
