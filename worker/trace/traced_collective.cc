// SPDX-License-Identifier: Apache-2.0
#include "worker/trace/traced_collective.h"

#include <deque>
#include <utility>

namespace ferment::worker {
namespace {

/// Adds nothing to the thread rule of the inner one.
class TracedCollective : public Collective {
 public:
  TracedCollective(std::unique_ptr<Collective> inner, Trace& trace) : inner_(std::move(inner)), trace_(trace) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }

  Status AllReduceSum(std::span<float> values) override {
    const TraceScope scope = Draw("all-reduce", values.size_bytes());
    return inner_->AllReduceSum(values);
  }
  Status AllReduceSum(std::span<double> values) override {
    const TraceScope scope = Draw("all-reduce", values.size_bytes());
    return inner_->AllReduceSum(values);
  }
  Status BeginSum(std::span<float> values) override { return Begin(values); }
  Status BeginSum(std::span<double> values) override { return Begin(values); }
  Result<std::size_t> AdvanceSums() override {
    FERMENT_ASSIGN_OR_RETURN(const std::size_t pending, inner_->AdvanceSums());
    DrawEnded(pending);
    return pending;
  }
  Status AwaitSums() override {
    const TraceScope scope = Draw("wait for sums", 0);
    const Status status = inner_->AwaitSums();
    DrawEnded(0);
    return status;
  }
  Status Broadcast(std::span<std::byte> bytes, int root) override {
    const TraceScope scope = Draw("broadcast", bytes.size());
    return inner_->Broadcast(bytes, root);
  }
  Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    const TraceScope scope = Draw("all-gather", all.size());
    return inner_->AllGather(mine, all);
  }
  Status Barrier() override {
    const TraceScope scope = Draw("barrier", 0);
    return inner_->Barrier();
  }
  Result<std::unique_ptr<Collective>> Split(int color) override {
    FERMENT_ASSIGN_OR_RETURN(auto part, inner_->Split(color));
    return MakeTracedCollective(std::move(part), trace_);
  }
  void Abort(int exit_code) override { inner_->Abort(exit_code); }

 private:
  struct Begun {
    Trace::Clock::time_point begin;
    std::size_t bytes;
  };

  TraceScope Draw(const char* verb, std::size_t bytes) {
    return TraceScope(&trace_, verb, TraceRow::kCollectives, static_cast<std::int64_t>(bytes));
  }

  template <typename T>
  Status Begin(std::span<T> values) {
    begun_.push_back({Trace::Clock::now(), values.size_bytes()});
    return inner_->BeginSum(values);
  }

  /// They end in the order in which they were begun.
  void DrawEnded(std::size_t pending) {
    for (; begun_.size() > pending; begun_.pop_front()) {
      trace_.Add("sum", TraceRow::kSums, begun_.front().begin, Trace::Clock::now(),
                 static_cast<std::int64_t>(begun_.front().bytes));
    }
  }

  const std::unique_ptr<Collective> inner_;
  Trace& trace_;
  std::deque<Begun> begun_;
};

}  // namespace

std::unique_ptr<Collective> MakeTracedCollective(std::unique_ptr<Collective> inner, Trace& trace) {
  return std::make_unique<TracedCollective>(std::move(inner), trace);
}

}  // namespace ferment::worker
