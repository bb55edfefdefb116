// SPDX-License-Identifier: Apache-2.0
#include "common/nn/backbone.h"

#include <torch/types.h>

#include "common/base/check.h"
#include "common/nn/iresnet.h"
#include "common/nn/resnet.h"

namespace ferment::nn {

BackboneConfig BackboneOf(const RunSpec& spec) {
  return {.name = spec.model().backbone(),
          .width = static_cast<int>(spec.model().width()),
          .image_size = static_cast<int>(spec.model().image_size()),
          .classes = spec.classes_size()};
}

void Backbone::MoveTo(torch::Device device, torch::Dtype dtype) {
  torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : parameters()) {
    torch::Tensor moved = parameter.to(device, dtype);
    parameter.set_data(moved.dim() == 4 ? moved.contiguous(torch::MemoryFormat::ChannelsLast) : moved);
  }
  for (torch::Tensor& buffer : buffers())
    if (buffer.is_floating_point()) buffer.set_data(buffer.to(device, dtype));
}

void Backbone::SetBatchNorm(BatchNormMode mode, StatisticsExchange* exchange) {
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* norm = module->as<BatchNormImpl>()) norm->SetMode(mode, exchange);
  }
}

std::shared_ptr<Backbone> MakeBackbone(const BackboneConfig& config, std::uint64_t seed, std::uint64_t stream) {
  if (config.name == "iresnet50") return MakeIResNet50(config, seed, stream);
  FERMENT_CHECK(config.name == "resnet18" || config.name == "resnet50") << "backbone=" << config.name;
  return MakeResNet(config, seed, stream);
}

}  // namespace ferment::nn
