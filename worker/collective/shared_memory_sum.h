// SPDX-License-Identifier: Apache-2.0
//
// Sums over the ranks of one host, through memory that they share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "common/base/result.h"

namespace ferment::worker {

/// A segment of POSIX shared memory. Its name is gone once every rank has opened it, and its memory when the last one
/// ends, however it ends.
class SharedSegment {
 public:
  /// Errors: ResourceExhausted where the memory is not there; AlreadyExists.
  static Result<SharedSegment> Create(const std::string& name, std::size_t bytes);
  static Result<SharedSegment> Open(const std::string& name, std::size_t bytes);
  static void Unlink(const std::string& name);
  SharedSegment(SharedSegment&& other) noexcept;
  SharedSegment& operator=(SharedSegment&&) = delete;
  ~SharedSegment();

  std::byte* data() const { return data_; }

 private:
  SharedSegment(std::byte* data, std::size_t bytes) : data_(data), bytes_(bytes) {}

  std::byte* data_;
  std::size_t bytes_;
};

/// A queue of sums, each in three turns a chunk: every rank lays out what others will add, adds up its share of all
/// ranks' chunks, and takes back what others added. Chunks stay in the processors' caches, so that memory sees every
/// buffer read once and written once. Every element is added in rank order by one rank: the bits are the same
/// everywhere.
///
/// Nothing here waits: Advance does what can be done now. Thread: one at a time. Every rank begins the same sums in the
/// same order.
class SharedMemorySum {
 public:
  /// Bytes of the segment for so many ranks.
  static std::size_t SegmentBytes(int ranks);
  /// `segment` was all zeros when the first rank opened it.
  SharedMemorySum(SharedSegment segment, int rank, int ranks);

  /// Queues an in-place sum. Returns: its number, from 1; `values` is the caller's again when finished() has come to
  /// it.
  std::uint64_t Begin(std::span<float> values) { return Queue({.floats = values.data(), .size = values.size()}); }
  std::uint64_t Begin(std::span<double> values) { return Queue({.doubles = values.data(), .size = values.size()}); }
  void Advance();
  /// Sums that have ended since the start.
  std::uint64_t finished() const { return finished_; }

 private:
  /// How far a rank has come, in chunks since the start. A cache line each, so that ranks do not disturb each other.
  struct Progress;
  struct Work {
    float* floats = nullptr;
    double* doubles = nullptr;
    std::size_t size = 0;
    /// Elements that are through a turn.
    std::size_t laid = 0;
    std::size_t added = 0;
    std::size_t taken = 0;
  };

  std::uint64_t Queue(const Work& work) {
    queue_.push_back(work);
    return finished_ + queue_.size();
  }
  /// Returns: whether anything could be done.
  template <typename T>
  bool AdvanceFront(Work& work, T* values);
  /// The elements of a chunk that this rank adds up.
  struct Share {
    std::size_t begin;
    std::size_t end;
  };
  Share ShareOf(std::size_t count) const;
  template <typename T>
  void CopyAllButShare(const T* from, T* to, std::size_t count) const;
  /// `values`: this rank's chunk, whose share becomes the sums, which it lays out for the others too.
  template <typename T>
  void AddShare(std::uint64_t chunk, T* values, std::size_t count) const;
  /// Whether every rank has come so far in a turn.
  bool All(std::uint64_t Progress::*turn, std::uint64_t chunks) const;
  void Publish(std::uint64_t Progress::*turn, std::uint64_t chunks);
  /// Where rank `rank` lays out a chunk; `ranks_` stands for the sums.
  std::byte* Slot(std::uint64_t chunk, int rank) const;

  SharedSegment segment_;
  const int rank_;
  const int ranks_;
  Progress* const progress_;
  std::deque<Work> queue_;
  std::uint64_t finished_ = 0;
  /// Chunks of this rank since the start, a turn each.
  std::uint64_t laid_ = 0;
  std::uint64_t added_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace ferment::worker
