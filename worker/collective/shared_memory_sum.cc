// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/shared_memory_sum.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace ferment::worker {
namespace {

/// What ranks touch of the chunks on the way stays in the processors' caches.
constexpr std::size_t kChunkBytes = std::size_t{64} << 10;
/// Chunks on the way: so many that a rank which loses its core for a moment does not hold up the others at once.
constexpr std::size_t kDepth = 8;

Status FromErrno(int code, const std::string& what, const std::string& name) {
  const std::string text = what + ": name=" + name + ": " + std::strerror(code);
  return code == EEXIST ? AlreadyExistsError(text) : ResourceExhaustedError(text);
}

Result<std::byte*> Map(int file, std::size_t bytes, const std::string& name) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  const int code = errno;
  close(file);
  if (data == MAP_FAILED) return Fail(FromErrno(code, "mapping shared memory", name));
  return static_cast<std::byte*>(data);
}

}  // namespace

Result<SharedSegment> SharedSegment::Create(const std::string& name, std::size_t bytes) {
  const int file = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0) return Fail(FromErrno(errno, "making shared memory", name));
  // Memory that is not there would kill at the first touch.
  if (const int code = posix_fallocate(file, 0, static_cast<off_t>(bytes)); code != 0) {
    close(file);
    Unlink(name);
    return Fail(FromErrno(code, "making shared memory", name));
  }
  FERMENT_ASSIGN_OR_RETURN(std::byte* const data, Map(file, bytes, name));
  return SharedSegment(data, bytes);
}

Result<SharedSegment> SharedSegment::Open(const std::string& name, std::size_t bytes) {
  const int file = shm_open(name.c_str(), O_RDWR, 0);
  if (file < 0) return Fail(FromErrno(errno, "opening shared memory", name));
  FERMENT_ASSIGN_OR_RETURN(std::byte* const data, Map(file, bytes, name));
  return SharedSegment(data, bytes);
}

void SharedSegment::Unlink(const std::string& name) { shm_unlink(name.c_str()); }

SharedSegment::SharedSegment(SharedSegment&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

SharedSegment::~SharedSegment() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

struct SharedMemorySum::Progress {
  alignas(64) std::uint64_t laid;
  alignas(64) std::uint64_t added;
  alignas(64) std::uint64_t taken;
};

std::size_t SharedMemorySum::SegmentBytes(int ranks) {
  const auto count = static_cast<std::size_t>(ranks);
  return count * sizeof(Progress) + kDepth * (count + 1) * kChunkBytes;
}

SharedMemorySum::SharedMemorySum(SharedSegment segment, int rank, int ranks)
    : segment_(std::move(segment)),
      rank_(rank),
      ranks_(ranks),
      progress_(reinterpret_cast<Progress*>(segment_.data())) {
  FERMENT_CHECK(rank >= 0 && rank < ranks) << "rank=" << rank << " of=" << ranks;
}

void SharedMemorySum::Advance() {
  bool moved = true;
  while (moved && !queue_.empty()) {
    Work& front = queue_.front();
    moved = front.doubles != nullptr ? AdvanceFront(front, front.doubles) : AdvanceFront(front, front.floats);
    if (front.taken == front.size) {
      queue_.pop_front();
      ++finished_;
      moved = true;
    }
  }
}

template <typename T>
bool SharedMemorySum::AdvanceFront(Work& work, T* values) {
  constexpr std::size_t kChunk = kChunkBytes / sizeof(T);
  bool moved = false;
  // The slots of a chunk are free when everyone has taken the sums that were in them.
  if (work.laid < work.size && (laid_ < kDepth || All(&Progress::taken, laid_ + 1 - kDepth))) {
    const std::size_t count = std::min(kChunk, work.size - work.laid);
    CopyAllButShare(values + work.laid, reinterpret_cast<T*>(Slot(laid_, rank_)), count);
    work.laid += count;
    Publish(&Progress::laid, ++laid_);
    moved = true;
  }
  if (work.added < work.laid && All(&Progress::laid, added_ + 1)) {
    const std::size_t count = std::min(kChunk, work.size - work.added);
    AddShare(added_, values + work.added, count);
    work.added += count;
    Publish(&Progress::added, ++added_);
    moved = true;
  }
  if (work.taken < work.added && All(&Progress::added, taken_ + 1)) {
    const std::size_t count = std::min(kChunk, work.size - work.taken);
    CopyAllButShare(reinterpret_cast<const T*>(Slot(taken_, ranks_)), values + work.taken, count);
    work.taken += count;
    Publish(&Progress::taken, ++taken_);
    moved = true;
  }
  return moved;
}

SharedMemorySum::Share SharedMemorySum::ShareOf(std::size_t count) const {
  const auto ranks = static_cast<std::size_t>(ranks_);
  const auto rank = static_cast<std::size_t>(rank_);
  return {count * rank / ranks, count * (rank + 1) / ranks};
}

template <typename T>
void SharedMemorySum::CopyAllButShare(const T* from, T* to, std::size_t count) const {
  const Share share = ShareOf(count);
  std::copy_n(from, share.begin, to);
  std::copy(from + share.end, from + count, to + share.end);
}

template <typename T>
void SharedMemorySum::AddShare(std::uint64_t chunk, T* values, std::size_t count) const {
  const Share share = ShareOf(count);
  const auto laid_by = [&](int rank) {
    return rank == rank_ ? static_cast<const T*>(values) : reinterpret_cast<const T*>(Slot(chunk, rank));
  };
  T* __restrict sums = reinterpret_cast<T*>(Slot(chunk, ranks_));
  const T* first = laid_by(0);
  const T* second = laid_by(std::min(1, ranks_ - 1));
  for (std::size_t i = share.begin; i < share.end; ++i) sums[i] = ranks_ == 1 ? first[i] : first[i] + second[i];
  for (int rank = 2; rank < ranks_; ++rank) {
    const T* theirs = laid_by(rank);
    for (std::size_t i = share.begin; i < share.end; ++i) sums[i] += theirs[i];
  }
  std::copy(sums + share.begin, sums + share.end, values + share.begin);
}

bool SharedMemorySum::All(std::uint64_t Progress::*turn, std::uint64_t chunks) const {
  for (int r = 0; r < ranks_; ++r) {
    if (std::atomic_ref(progress_[r].*turn).load(std::memory_order_acquire) < chunks) return false;
  }
  return true;
}

void SharedMemorySum::Publish(std::uint64_t Progress::*turn, std::uint64_t chunks) {
  std::atomic_ref(progress_[rank_].*turn).store(chunks, std::memory_order_release);
}

std::byte* SharedMemorySum::Slot(std::uint64_t chunk, int rank) const {
  const auto count = static_cast<std::size_t>(ranks_);
  const std::size_t slot = static_cast<std::size_t>(chunk % kDepth) * (count + 1) + static_cast<std::size_t>(rank);
  return segment_.data() + count * sizeof(Progress) + slot * kChunkBytes;
}

}  // namespace ferment::worker
