// SPDX-License-Identifier: Apache-2.0
#include "worker/train/optimizer/adamw.h"

#include <ATen/ops/_fused_adamw.h>

#include <algorithm>

namespace ferment::worker {

AdamW::AdamW(NamedTensors parameters, AdamWOptions options) : options_(options) {
  for (auto& [name, parameter] : parameters)
    slots_.push_back({name, parameter, torch::zeros_like(parameter), torch::zeros_like(parameter)});
}

void AdamW::Step(double learning_rate) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  std::vector<torch::Tensor> parameters, gradients, firsts, seconds;
  for (Slot& slot : slots_) {
    if (!slot.parameter.grad().defined()) continue;
    parameters.push_back(slot.parameter);
    gradients.push_back(slot.parameter.grad());
    firsts.push_back(slot.first);
    seconds.push_back(slot.second);
  }
  if (parameters.empty()) return;
  const std::vector<torch::Tensor> steps(
      parameters.size(),
      torch::full({}, static_cast<float>(steps_), parameters.front().options().dtype(torch::kFloat32)));
  at::_fused_adamw_(parameters, gradients, firsts, seconds, /*max_exp_avg_sqs=*/{}, steps, learning_rate,
                    options_.beta1, options_.beta2, options_.weight_decay, options_.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false);
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
