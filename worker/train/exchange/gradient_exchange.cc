// SPDX-License-Identifier: Apache-2.0
#include "worker/train/exchange/gradient_exchange.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace ferment::worker {

/// Called by LibTorch when a parameter's gradient is whole.
class GradientExchange::Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(GradientExchange& exchange, std::size_t part) : exchange_(exchange), part_(part) {}
  void operator()(const torch::autograd::Variable&) override { exchange_.OnGradient(part_); }

 private:
  GradientExchange& exchange_;
  const std::size_t part_;
};

GradientExchange::GradientExchange(GradientBucket& bucket, Collective& ranks, std::int64_t part_bytes)
    : bucket_(bucket), ranks_(ranks) {
  if (ranks_.size() == 1) return;
  CutIntoParts(std::max<std::int64_t>(1, part_bytes / bucket_.weights().element_size()));
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    for (const torch::Tensor& parameter : parts_[i].parameters)
      torch::autograd::impl::set_post_acc_grad_hooks(parameter, std::make_unique<Hook>(*this, i));
  }
}

GradientExchange::~GradientExchange() {
  for (const Part& part : parts_) {
    for (const torch::Tensor& parameter : part.parameters)
      torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void GradientExchange::CutIntoParts(std::int64_t part_elements) {
  // Backward goes from the end of what decays to its begin; the rest is whole when it is.
  const std::vector<GradientBucket::Place> places = bucket_.Places();  // by ascending offset
  const std::int64_t decayed = bucket_.DecayedPart(bucket_.gradients()).numel();
  const auto first_other =
      std::find_if(places.begin(), places.end(), [&](const auto& place) { return place.offset >= decayed; });
  Part part{.begin = decayed, .end = decayed};
  for (auto place = std::make_reverse_iterator(first_other); place != places.rend(); ++place) {
    part.begin = place->offset;
    part.parameters.push_back(place->parameter);
    if (part.end - part.begin < part_elements && place->offset > 0) continue;
    const std::int64_t end = part.begin;
    parts_.push_back(std::exchange(part, {.begin = end, .end = end}));
  }
  Part rest{.begin = decayed, .end = bucket_.gradients().numel()};
  for (auto place = first_other; place != places.end(); ++place) rest.parameters.push_back(place->parameter);
  if (!rest.parameters.empty()) parts_.push_back(std::move(rest));
}

Status GradientExchange::Backward(const torch::Tensor& loss, Trace* trace) {
  const auto differentiate = [&] {
    const TraceScope scope(trace, "autograd");
    loss.backward();
  };
  if (ranks_.size() == 1) {
    differentiate();
    return Status();
  }
  for (Part& part : parts_) part.missing = part.parameters.size();
  begun_ = 0;
  failure_ = Status();
  differentiating_ = true;
  differentiate();
  differentiating_ = false;
  BeginParts(/*all=*/true);
  FERMENT_RETURN_IF_ERROR(failure_);
  return ranks_.AwaitSums();
}

void GradientExchange::OnGradient(std::size_t part) {
  if (!differentiating_ || parts_[part].missing == 0) return;
  --parts_[part].missing;
  BeginParts(/*all=*/false);
  if (!failure_.ok()) return;
  const auto pending = ranks_.AdvanceSums();
  if (!pending) failure_ = pending.error();
}

void GradientExchange::BeginParts(bool all) {
  torch::Tensor& gradients = bucket_.gradients();
  while (failure_.ok() && begun_ < parts_.size() && (all || parts_[begun_].missing == 0)) {
    const Part& part = parts_[begun_++];
    const auto count = static_cast<std::size_t>(part.end - part.begin);
    failure_ = gradients.scalar_type() == torch::kFloat64
                   ? ranks_.BeginSum(std::span<double>(gradients.data_ptr<double>() + part.begin, count))
                   : ranks_.BeginSum(std::span<float>(gradients.data_ptr<float>() + part.begin, count));
  }
}

}  // namespace ferment::worker
