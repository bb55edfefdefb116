// SPDX-License-Identifier: Apache-2.0
//
// Has this rank's faces of the next steps ready before the step asks for them.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <thread>

#include "worker/feed/face_stream.h"
#include "worker/feed/rank_sampler.h"

namespace ferment::worker {

/// One rank's rows of one step.
struct FeedStep {
  FaceBatch labelled;
  /// Without rows where the feed has no unlabelled stream.
  FaceBatch unlabelled;
};

/// Guarded: the ready steps are under `mutex_`. One background thread reads ahead; the streams may use more.
class BatchFeed {
 public:
  struct Options {
    /// Faces a step over all ranks; step s starts at position s * batch of its stream.
    std::uint64_t labelled_batch = 0;
    std::uint64_t unlabelled_batch = 0;
    int rank = 0;
    int ranks = 1;
    /// Steps that are kept ready.
    std::size_t ahead = 2;
  };
  /// `unlabelled` may be null.
  BatchFeed(std::unique_ptr<FaceStream> labelled, std::unique_ptr<FaceStream> unlabelled, const Options& options);
  ~BatchFeed();

  /// Returns: the rows of `step`; waits until they are read. Fast when steps are asked for in order.
  /// Errors: those of the streams.
  Result<FeedStep> Get(std::uint64_t step);
  RowRange labelled_rows() const { return RowsOfRank(options_.labelled_batch, options_.rank, options_.ranks); }
  RowRange unlabelled_rows() const { return RowsOfRank(options_.unlabelled_batch, options_.rank, options_.ranks); }
  /// Returns: [n, 2] int64, the damaged faces met by this rank, steps read ahead included: 0 where labelled and 1 where
  /// not, and the face's index.
  torch::Tensor DamagedFaces() const;

 private:
  Result<FeedStep> Read(std::uint64_t step);
  void ReadAhead(std::stop_token stop);

  const std::unique_ptr<FaceStream> labelled_;
  const std::unique_ptr<FaceStream> unlabelled_;
  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::uint64_t, Result<FeedStep>> ready_ FERMENT_GUARDED_BY(mutex_);
  /// First step that is not ready yet; the reader's next. Steps before the one asked for are dropped.
  std::uint64_t next_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t asked_ FERMENT_GUARDED_BY(mutex_) = 0;
  bool started_ FERMENT_GUARDED_BY(mutex_) = false;
  std::jthread reader_;
};

}  // namespace ferment::worker
