// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/thread_collective.h"

#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/mutex.h"

namespace ferment::worker {
namespace {

/// Where the ranks meet. Guarded: every member under `mutex_`, but the buffers, which their owners lend from a meeting
/// until they are given back.
class MeetingPlace {
 public:
  MeetingPlace(int ranks, std::chrono::milliseconds deadline)
      : buffers(static_cast<std::size_t>(ranks)), ranks_(ranks), deadline_(deadline) {}

  /// Waits until every rank has come.
  Status Meet() {
    MutexLock lock(mutex_);
    if (aborted_) return UnavailableError("another rank has aborted the job").WithExitCode(exit_code::kPeerLost);
    const std::uint64_t mine = generation_;
    if (++waiting_ == ranks_) {
      waiting_ = 0;
      ++generation_;
      changed_.notify_all();
      return Status();
    }
    const bool moved = changed_.wait_for(mutex_, deadline_, [&] { return generation_ != mine || aborted_; });
    if (generation_ != mine) return Status();
    if (moved) return UnavailableError("another rank has aborted the job").WithExitCode(exit_code::kPeerLost);
    aborted_ = true;
    changed_.notify_all();
    return DeadlineExceededError("ranks did not meet: came=" + std::to_string(waiting_) +
                                 " of=" + std::to_string(ranks_) + " deadline_ms=" + std::to_string(deadline_.count()))
        .WithExitCode(exit_code::kHang);
  }

  /// Waits until every rank has read what a meeting lent. All of them came to it, so that they end by themselves:
  /// neither an abort nor the deadline ends this wait, since who returns frees its buffer.
  void GiveBack() {
    MutexLock lock(mutex_);
    const std::uint64_t mine = given_back_;
    if (++done_ == ranks_) {
      done_ = 0;
      ++given_back_;
      changed_.notify_all();
    }
    changed_.wait(mutex_, [&] { return given_back_ != mine; });
  }

  void Abort() {
    MutexLock lock(mutex_);
    aborted_ = true;
    changed_.notify_all();
  }

  /// Returns: the place of one color's ranks, made by whoever asks first within one generation.
  std::shared_ptr<MeetingPlace> Part(int color, int ranks) {
    MutexLock lock(mutex_);
    auto& part = parts_[color];
    if (part == nullptr) part = std::make_shared<MeetingPlace>(ranks, deadline_);
    return part;
  }
  void ForgetParts() {
    MutexLock lock(mutex_);
    parts_.clear();
  }

  struct Buffer {
    const std::byte* data = nullptr;
    std::size_t bytes = 0;
    int color = 0;
  };
  std::vector<Buffer> buffers;

 private:
  const int ranks_;
  const std::chrono::milliseconds deadline_;
  Mutex mutex_;
  CondVar changed_;
  int waiting_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t generation_ FERMENT_GUARDED_BY(mutex_) = 0;
  int done_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t given_back_ FERMENT_GUARDED_BY(mutex_) = 0;
  bool aborted_ FERMENT_GUARDED_BY(mutex_) = false;
  std::map<int, std::shared_ptr<MeetingPlace>> parts_ FERMENT_GUARDED_BY(mutex_);
};

/// The place is shared: the last rank to leave takes it down.
class ThreadCollective : public Collective {
 public:
  ThreadCollective(std::shared_ptr<MeetingPlace> place, int rank, int size)
      : place_(std::move(place)), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Status AllReduceSum(std::span<float> values) override { return Sum(values); }
  Status AllReduceSum(std::span<double> values) override { return Sum(values); }

  Status Broadcast(std::span<std::byte> bytes, int root) override {
    FERMENT_RETURN_IF_ERROR(Lend(bytes));
    if (rank_ != root && !bytes.empty()) std::memcpy(bytes.data(), Of(root).data, bytes.size());
    place_->GiveBack();
    return Status();
  }

  Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    FERMENT_CHECK(all.size() == mine.size() * static_cast<std::size_t>(size_)) << "all=" << all.size();
    FERMENT_RETURN_IF_ERROR(Lend(mine));
    for (int r = 0; r < size_ && !mine.empty(); ++r) {
      std::memcpy(all.data() + static_cast<std::size_t>(r) * mine.size(), Of(r).data, mine.size());
    }
    place_->GiveBack();
    return Status();
  }

  Status Barrier() override { return place_->Meet(); }

  Result<std::unique_ptr<Collective>> Split(int color) override {
    Mine().color = color;
    FERMENT_RETURN_IF_ERROR(place_->Meet());
    int part_rank = 0;
    int part_size = 0;
    for (int r = 0; r < size_; ++r) {
      if (Of(r).color != color) continue;
      if (r < rank_) ++part_rank;
      ++part_size;
    }
    auto part = place_->Part(color, part_size);
    FERMENT_RETURN_IF_ERROR(place_->Meet());
    place_->ForgetParts();
    FERMENT_RETURN_IF_ERROR(place_->Meet());
    return std::make_unique<ThreadCollective>(std::move(part), part_rank, part_size);
  }

  void Abort(int) override { place_->Abort(); }

 private:
  MeetingPlace::Buffer& Mine() { return place_->buffers[static_cast<std::size_t>(rank_)]; }
  const MeetingPlace::Buffer& Of(int rank) const { return place_->buffers[static_cast<std::size_t>(rank)]; }

  Status Lend(std::span<const std::byte> bytes) {
    Mine().data = bytes.data();
    Mine().bytes = bytes.size();
    FERMENT_RETURN_IF_ERROR(place_->Meet());
    for (int r = 0; r < size_; ++r) {
      FERMENT_CHECK(Of(r).bytes == bytes.size())
          << "rank " << r << " brought " << Of(r).bytes << " bytes, rank " << rank_ << " " << bytes.size();
    }
    return Status();
  }

  template <typename T>
  Status Sum(std::span<T> values) {
    const std::vector<T> own(values.begin(), values.end());
    FERMENT_RETURN_IF_ERROR(Lend(std::as_bytes(std::span<const T>(own))));
    for (int r = 0; r < size_; ++r) {
      const T* theirs = reinterpret_cast<const T*>(Of(r).data);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = r == 0 ? theirs[i] : values[i] + theirs[i];
    }
    place_->GiveBack();
    return Status();
  }

  std::shared_ptr<MeetingPlace> place_;
  const int rank_;
  const int size_;
};

}  // namespace

std::vector<std::unique_ptr<Collective>> MakeThreadCollectives(int ranks, std::chrono::milliseconds deadline) {
  auto place = std::make_shared<MeetingPlace>(ranks, deadline);
  std::vector<std::unique_ptr<Collective>> all;
  for (int r = 0; r < ranks; ++r) all.push_back(std::make_unique<ThreadCollective>(place, r, ranks));
  return all;
}

std::unique_ptr<Collective> MakeSingleCollective() {
  return std::make_unique<ThreadCollective>(std::make_shared<MeetingPlace>(1, std::chrono::milliseconds(0)), 0, 1);
}

}  // namespace ferment::worker
