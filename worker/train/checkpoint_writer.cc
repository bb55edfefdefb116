// SPDX-License-Identifier: Apache-2.0
#include "worker/train/checkpoint_writer.h"

#include <torch/types.h>

#include <chrono>
#include <utility>

#include "common/base/logging.h"
#include "common/nn/torch_guard.h"

namespace ferment::worker {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Takes the values of `from`, and new memory only where the old does not fit.
void CopyInto(torch::Tensor& to, const torch::Tensor& from) {
  if (!to.defined() || to.sizes() != from.sizes() || to.scalar_type() != from.scalar_type())
    to = torch::empty(from.sizes(), from.options().device(torch::kCPU));
  to.copy_(from);
}

}  // namespace

CheckpointWriter::CheckpointWriter(Write write)
    : write_(std::move(write)), thread_([this](std::stop_token stop) { WriteAll(std::move(stop)); }) {}

Status CheckpointWriter::Begin(const SavedJob& job) {
  const auto begin = std::chrono::steady_clock::now();
  FERMENT_RETURN_IF_ERROR(Wait());
  FERMENT_RETURN_IF_ERROR(nn::Guard([&] { CopyTensors(job.state); }));
  copy_.next_step = job.next_step;
  copy_.samples = job.samples;
  copy_.nonfinite = job.nonfinite;
  copy_.state.scalars = job.state.scalars;
  copy_cost_.next_step = job.next_step;
  copy_cost_.copy_seconds = SecondsSince(begin);
  MutexLock lock(mutex_);
  pending_ = true;
  changed_.notify_all();
  return Status();
}

void CheckpointWriter::CopyTensors(const RecipeState& from) {
  const torch::NoGradGuard no_grad;
  copy_cost_.bytes = 0;
  std::erase_if(copy_.state.tensors, [&](const auto& file) { return !from.tensors.contains(file.first); });
  for (const auto& [stem, tensors] : from.tensors) {
    NamedTensors& kept = copy_.state.tensors[stem];
    kept.resize(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      kept[i].first = tensors[i].first;
      CopyInto(kept[i].second, tensors[i].second);
      copy_cost_.bytes += kept[i].second.nbytes();
    }
  }
}

bool CheckpointWriter::busy() const {
  MutexLock lock(mutex_);
  return pending_;
}

Status CheckpointWriter::Failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

Status CheckpointWriter::Wait() {
  MutexLock lock(mutex_);
  changed_.wait(mutex_, [this] { return !pending_; });
  return failure_;
}

CheckpointCost CheckpointWriter::cost() const {
  MutexLock lock(mutex_);
  return cost_;
}

void CheckpointWriter::WriteAll(std::stop_token stop) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      // A checkpoint that was begun is written even where the job is being left.
      if (!changed_.wait(mutex_, stop, [this] { return pending_; })) return;
    }
    const auto begin = std::chrono::steady_clock::now();
    const Status written = nn::Guard([this] { return write_(copy_); });
    CheckpointCost cost = copy_cost_;
    cost.write_seconds = SecondsSince(begin);
    if (written.ok()) {
      LogInfo("checkpoint", {{"step", cost.next_step},
                             {"bytes", cost.bytes},
                             {"waited_seconds", cost.copy_seconds},
                             {"write_seconds", cost.write_seconds}});
    } else {
      LogError("checkpoint_failed", {{"step", cost.next_step}, {"error", written.ToString()}});
    }
    MutexLock lock(mutex_);
    if (written.ok()) {
      cost_ = cost;
    } else {
      failure_ = written;
    }
    pending_ = false;
    changed_.notify_all();
  }
}

}  // namespace ferment::worker
