// SPDX-License-Identifier: Apache-2.0
#include "worker/feed/batch_feed.h"

#include <utility>
#include <vector>

namespace ferment::worker {

BatchFeed::BatchFeed(std::unique_ptr<FaceStream> labelled, std::unique_ptr<FaceStream> unlabelled,
                     const Options& options)
    : labelled_(std::move(labelled)),
      unlabelled_(std::move(unlabelled)),
      options_(options),
      reader_([this](std::stop_token stop) { ReadAhead(stop); }) {}

BatchFeed::~BatchFeed() {
  reader_.request_stop();
  reader_.join();
}

Result<FeedStep> BatchFeed::Get(std::uint64_t step) {
  MutexLock lock(mutex_);
  if (!started_ || (!ready_.contains(step) && step != next_)) {
    ready_.clear();
    next_ = step;
    started_ = true;
  }
  asked_ = step;
  ready_.erase(ready_.begin(), ready_.lower_bound(step));
  changed_.notify_all();
  changed_.wait(mutex_, [&] { return ready_.contains(step); });
  auto rows = std::move(ready_.at(step));
  ready_.erase(step);
  asked_ = step + 1;
  changed_.notify_all();
  return rows;
}

void BatchFeed::ReadAhead(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::uint64_t step = 0;
    {
      MutexLock lock(mutex_);
      if (!changed_.wait(mutex_, stop, [this] { return started_ && next_ < asked_ + options_.ahead; })) return;
      step = next_;
    }
    auto rows = Read(step);
    MutexLock lock(mutex_);
    if (next_ != step) continue;
    ready_.emplace(step, std::move(rows));
    ++next_;
    changed_.notify_all();
  }
}

Result<FeedStep> BatchFeed::Read(std::uint64_t step) {
  FeedStep rows;
  const std::uint64_t labelled = step * options_.labelled_batch;
  FERMENT_ASSIGN_OR_RETURN(rows.labelled,
                           labelled_->Rows(labelled + labelled_rows().begin, labelled + labelled_rows().end));
  if (unlabelled_ == nullptr) return rows;
  const std::uint64_t unlabelled = step * options_.unlabelled_batch;
  FERMENT_ASSIGN_OR_RETURN(rows.unlabelled,
                           unlabelled_->Rows(unlabelled + unlabelled_rows().begin, unlabelled + unlabelled_rows().end));
  return rows;
}

torch::Tensor BatchFeed::DamagedFaces() const {
  std::vector<std::int64_t> faces;
  for (const FaceStream* stream : {labelled_.get(), unlabelled_.get()}) {
    if (stream == nullptr) continue;
    for (const std::uint64_t index : stream->Damaged()) {
      faces.push_back(stream == unlabelled_.get() ? 1 : 0);
      faces.push_back(static_cast<std::int64_t>(index));
    }
  }
  return torch::tensor(faces, torch::kInt64).view({-1, 2});
}

}  // namespace ferment::worker
