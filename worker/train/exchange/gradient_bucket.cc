// SPDX-License-Identifier: Apache-2.0
#include "worker/train/exchange/gradient_bucket.h"

#include <algorithm>
#include <map>

#include "common/base/check.h"

namespace ferment::worker {

std::int64_t PaddedToAlignment(std::int64_t count) {
  constexpr std::int64_t kAlignment = 16;
  return (count + kAlignment - 1) / kAlignment * kAlignment;
}

Status SumOverRanks(torch::Tensor& flat, Collective& ranks) {
  if (ranks.size() == 1) return Status();
  FERMENT_CHECK(flat.is_contiguous()) << "a flat buffer is expected";
  const auto count = static_cast<std::size_t>(flat.numel());
  if (flat.scalar_type() == torch::kFloat64)
    return ranks.AllReduceSum(std::span<double>(flat.data_ptr<double>(), count));
  return ranks.AllReduceSum(std::span<float>(flat.data_ptr<float>(), count));
}

Status SumOverRanks(std::span<double> figures, Collective& ranks) {
  return ranks.size() == 1 ? Status() : ranks.AllReduceSum(figures);
}

GradientBucket::GradientBucket(torch::nn::Module& module, bool trained) {
  torch::NoGradGuard no_grad;
  for (const auto& item : module.named_parameters()) slots_.push_back({item.key(), item.value(), 0});
  FERMENT_CHECK(!slots_.empty()) << "a network without parameters";
  std::int64_t total = 0;
  for (const bool decays : {true, false}) {
    for (Slot& slot : slots_) {
      if ((slot.parameter.dim() > 1) != decays) continue;
      slot.offset = total;
      total += PaddedToAlignment(slot.parameter.numel());
    }
    if (decays) decayed_ = total;
  }
  weights_ = torch::zeros({total}, slots_.front().parameter.options().requires_grad(false));
  if (trained) gradients_ = torch::zeros_like(weights_);
  for (Slot& slot : slots_) {
    torch::Tensor view = View(weights_, slot);
    view.copy_(slot.parameter);
    slot.parameter.set_data(view);
    if (trained) slot.parameter.mutable_grad() = View(gradients_, slot);
  }
}

torch::Tensor GradientBucket::View(const torch::Tensor& flat, const Slot& slot) const {
  return flat.as_strided(slot.parameter.sizes(), slot.parameter.strides(), flat.storage_offset() + slot.offset);
}

NamedTensors GradientBucket::Named(const torch::Tensor& flat) const {
  NamedTensors named;
  for (const Slot& slot : slots_) named.emplace_back(slot.name, View(flat, slot));
  return named;
}

Status GradientBucket::Load(const NamedTensors& tensors, torch::Tensor& flat) const {
  torch::NoGradGuard no_grad;
  std::map<std::string_view, const torch::Tensor*> by_name;
  for (const auto& [name, tensor] : tensors) by_name.emplace(name, &tensor);
  for (const Slot& slot : slots_) {
    const auto found = by_name.find(slot.name);
    if (found == by_name.end()) return DataLossError("no tensor of this name in the state: " + slot.name);
    if (found->second->sizes() != slot.parameter.sizes())
      return DataLossError("tensor has another shape than the network's: " + slot.name);
    View(flat, slot).copy_(*found->second);
  }
  return Status();
}

std::vector<GradientBucket::Place> GradientBucket::Places() const {
  std::vector<Place> places;
  for (const Slot& slot : slots_) places.push_back({slot.parameter, slot.offset});
  std::ranges::sort(places, {}, &Place::offset);
  return places;
}

std::vector<std::string> GradientBucket::ExcludedFromDecay() const {
  std::vector<std::string> names;
  for (const Slot& slot : slots_) {
    if (slot.parameter.dim() <= 1) names.push_back(slot.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ferment::worker
