// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/watched_collective.h"

#include <utility>

namespace ferment::worker {
namespace {

class Counted {
 public:
  Counted(RankBoard& board, Verb verb) : board_(board) { board_.BeginCollective(verb); }
  ~Counted() { board_.EndCollective(); }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  RankBoard& board_;
};

/// Adds nothing to the thread rule of the inner one.
class WatchedCollective : public Collective {
 public:
  WatchedCollective(std::unique_ptr<Collective> inner, RankBoard& board) : inner_(std::move(inner)), board_(board) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }

  Status AllReduceSum(std::span<float> values) override {
    const Counted counted(board_, Verb::kAllReduce);
    return inner_->AllReduceSum(values);
  }
  Status AllReduceSum(std::span<double> values) override {
    const Counted counted(board_, Verb::kAllReduce);
    return inner_->AllReduceSum(values);
  }
  Status Broadcast(std::span<std::byte> bytes, int root) override {
    const Counted counted(board_, Verb::kBroadcast);
    return inner_->Broadcast(bytes, root);
  }
  Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    const Counted counted(board_, Verb::kAllGather);
    return inner_->AllGather(mine, all);
  }
  Status Barrier() override {
    const Counted counted(board_, Verb::kBarrier);
    return inner_->Barrier();
  }
  Result<std::unique_ptr<Collective>> Split(int color) override {
    const Counted counted(board_, Verb::kSplit);
    FERMENT_ASSIGN_OR_RETURN(auto part, inner_->Split(color));
    return MakeWatchedCollective(std::move(part), board_);
  }
  void Abort(int exit_code) override { inner_->Abort(exit_code); }

 private:
  const std::unique_ptr<Collective> inner_;
  RankBoard& board_;
};

}  // namespace

std::unique_ptr<Collective> MakeWatchedCollective(std::unique_ptr<Collective> inner, RankBoard& board) {
  return std::make_unique<WatchedCollective>(std::move(inner), board);
}

}  // namespace ferment::worker
