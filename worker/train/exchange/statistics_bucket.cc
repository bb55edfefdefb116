// SPDX-License-Identifier: Apache-2.0
#include "worker/train/exchange/statistics_bucket.h"

#include "worker/train/exchange/gradient_bucket.h"

namespace ferment::worker {

StatisticsBucket::StatisticsBucket(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> floats;
  std::int64_t total = 0;
  for (torch::Tensor& buffer : module.buffers()) {
    if (buffer.is_floating_point()) {
      floats.push_back(buffer);
      total += PaddedToAlignment(buffer.numel());
    } else {
      counters_.push_back(buffer);
    }
  }
  statistics_ = floats.empty() ? torch::zeros({0}) : torch::zeros({total}, floats.front().options());
  std::int64_t offset = 0;
  for (torch::Tensor& buffer : floats) {
    torch::Tensor view = statistics_.narrow(0, offset, buffer.numel()).view_as(buffer);
    view.copy_(buffer);
    buffer.set_data(view);
    offset += PaddedToAlignment(buffer.numel());
  }
}

Status StatisticsBucket::AverageOverRanks(Collective& ranks) {
  if (ranks.size() == 1) return Status();
  FERMENT_RETURN_IF_ERROR(SumOverRanks(statistics_, ranks));
  statistics_.div_(ranks.size());
  return Status();
}

StatisticsBucket::Snapshot StatisticsBucket::Take() const {
  Snapshot snapshot{statistics_.clone(), {}};
  for (const torch::Tensor& counter : counters_) snapshot.counters.push_back(counter.clone());
  return snapshot;
}

void StatisticsBucket::PutBack(const Snapshot& snapshot) {
  statistics_.copy_(snapshot.statistics);
  for (std::size_t i = 0; i < counters_.size(); ++i) counters_[i].copy_(snapshot.counters[i]);
}

void StatisticsBucket::MoveTowards(const StatisticsBucket& other, double decay) {
  statistics_.mul_(decay).add_(other.statistics_, 1 - decay);
  for (std::size_t i = 0; i < counters_.size(); ++i) counters_[i].copy_(other.counters_[i]);
}

}  // namespace ferment::worker
