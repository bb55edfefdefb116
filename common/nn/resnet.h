// SPDX-License-Identifier: Apache-2.0
//
// ResNet-18 and ResNet-50 in torchvision's layout, at any width.
#pragma once

#include <cstdint>
#include <memory>

#include "common/nn/backbone.h"

namespace ferment::nn {

/// Returns: a network whose state loads into torchvision.models.resnet18 / resnet50 of the same width.
/// Requires: config.name is resnet18 or resnet50.
std::shared_ptr<Backbone> MakeResNet(const BackboneConfig& config, std::uint64_t seed, std::uint64_t stream);

}  // namespace ferment::nn
