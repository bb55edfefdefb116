// SPDX-License-Identifier: Apache-2.0
#include "worker/train/adamw.h"

#include <algorithm>
#include <cmath>

namespace ferment::worker {

AdamW::AdamW(NamedTensors parameters, AdamWOptions options) : options_(options) {
  for (auto& [name, parameter] : parameters)
    slots_.push_back({name, parameter, torch::zeros_like(parameter), torch::zeros_like(parameter)});
}

void AdamW::Step(double learning_rate) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_));
  for (Slot& slot : slots_) {
    const torch::Tensor& gradient = slot.parameter.grad();
    if (!gradient.defined()) continue;
    slot.parameter.mul_(1 - learning_rate * options_.weight_decay);
    slot.first.mul_(options_.beta1).add_(gradient, 1 - options_.beta1);
    slot.second.mul_(options_.beta2).addcmul_(gradient, gradient, 1 - options_.beta2);
    const torch::Tensor scale = (slot.second.sqrt() / std::sqrt(correction2)).add_(options_.epsilon);
    slot.parameter.addcdiv_(slot.first, scale, -learning_rate / correction1);
  }
}

NamedTensors AdamW::State() const {
  NamedTensors state;
  for (const Slot& slot : slots_) {
    state.emplace_back("first." + slot.name, slot.first);
    state.emplace_back("second." + slot.name, slot.second);
  }
  return state;
}

Status AdamW::Restore(const NamedTensors& state, std::uint64_t steps) {
  const torch::NoGradGuard no_grad;
  const auto restore = [&](const std::string& name, torch::Tensor& moment) -> Status {
    const auto found = std::find_if(state.begin(), state.end(), [&](const auto& entry) { return entry.first == name; });
    if (found == state.end()) return DataLossError("the optimizer's state lacks a moment: name=" + name);
    if (found->second.sizes() != moment.sizes())
      return DataLossError("an optimizer moment has another shape: name=" + name);
    moment.copy_(found->second);
    return {};
  };
  for (Slot& slot : slots_) {
    FERMENT_RETURN_IF_ERROR(restore("first." + slot.name, slot.first));
    FERMENT_RETURN_IF_ERROR(restore("second." + slot.name, slot.second));
  }
  steps_ = steps;
  return {};
}

}  // namespace ferment::worker
