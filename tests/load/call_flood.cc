// SPDX-License-Identifier: Apache-2.0
#include "tests/load/call_flood.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

#include "bench/lease_log.h"
#include "bench/load_client.h"
#include "common/base/json.h"
#include "common/rpc/grpc_status.h"

namespace ferment::load {
namespace {

using Clock = std::chrono::steady_clock;

// What waits in this process must not be what is measured.
constexpr int kMostWaiting = 8'000;
constexpr std::chrono::seconds kDeadline{30};

double Quantile(const std::vector<double>& sorted, double share) {
  return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

struct CallFlood::Call {
  grpc::ClientContext context;
  grpc::Status status;
  Clock::time_point due;
  v1::RenewLeaseResponse renewed;
  v1::GetRunResponse run;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::RenewLeaseResponse>> renewing;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::GetRunResponse>> getting;
};

std::uint64_t FloodReport::Of(grpc::StatusCode code) const {
  const auto found = ended.find(code);
  return found == ended.end() ? 0 : found->second;
}

void FloodReport::Add(const FloodReport& other) {
  for (const auto& [code, count] : other.ended) ended[code] += count;
  refused_without_retry_info += other.refused_without_retry_info;
  withheld += other.withheld;
  const auto merge = [](std::vector<double>& into, const std::vector<double>& from) {
    into.insert(into.end(), from.begin(), from.end());
    std::sort(into.begin(), into.end());
  };
  merge(refused_ms, other.refused_ms);
  merge(answered_ms, other.answered_ms);
}

std::string FloodReport::ToString() const {
  Json json;
  for (const auto& [code, count] : ended)
    json["ended"][std::string(StatusCodeName(static_cast<StatusCode>(code)))] = count;
  json["withheld"] = withheld;
  json["refused_p50_ms"] = Quantile(refused_ms, 0.5);
  json["refused_p99_ms"] = Quantile(refused_ms, 0.99);
  json["answered_p50_ms"] = Quantile(answered_ms, 0.5);
  json["answered_p99_ms"] = Quantile(answered_ms, 0.99);
  return json.dump();
}

CallFlood::CallFlood(const std::string& address, int channels) {
  for (int i = 0; i < channels; ++i) {
    // Numbers that no labeler of a test has.
    const auto channel = bench::OpenOwnChannel(address, 1'000'000 + i);
    // Else the first calls would measure how long so many connections take.
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + kDeadline)) {
      throw std::runtime_error("no connection within half a minute: address=" + address);
    }
    leases_.push_back(v1::LeaseService::NewStub(channel));
    runs_.push_back(v1::RunService::NewStub(channel));
  }
}

void CallFlood::Begin(std::uint64_t number, Clock::time_point due, grpc::CompletionQueue& queue) {
  auto call = std::make_unique<Call>();
  call->due = due;
  call->context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  const std::size_t channel = (number / 2) % leases_.size();
  // It comes back out of the queue, and is deleted there.
  Call* const tag = call.release();
  if (number % 2 == 0) {
    v1::RenewLeaseRequest request;
    request.mutable_key()->set_run_id(bench::kLeaseRun);
    request.mutable_key()->set_job_id("label");
    tag->renewing = leases_[channel]->AsyncRenewLease(&tag->context, request, &queue);
    tag->renewing->Finish(&tag->renewed, &tag->status, tag);
  } else {
    v1::GetRunRequest request;
    request.set_run_id(bench::kLeaseRun);
    tag->getting = runs_[channel]->AsyncGetRun(&tag->context, request, &queue);
    tag->getting->Finish(&tag->run, &tag->status, tag);
  }
}

FloodReport CallFlood::Run(double rate, double seconds) {
  grpc::CompletionQueue queue;
  std::atomic<int> waiting{0};
  FloodReport report;
  std::jthread collector([&] {
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      --waiting;
      ++report.ended[call->status.error_code()];
      const bool refused = call->status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
      if (refused && !rpc::RetryDelayOf(call->status)) ++report.refused_without_retry_info;
      const double ms = std::chrono::duration<double, std::milli>(Clock::now() - call->due).count();
      (refused ? report.refused_ms : report.answered_ms).push_back(ms);
    }
  });
  const auto begin = Clock::now();
  std::uint64_t withheld = 0;
  for (std::uint64_t number = 0; static_cast<double>(number) < rate * seconds; ++number) {
    const std::chrono::duration<double> place(static_cast<double>(number) / rate);
    const auto due = begin + std::chrono::duration_cast<Clock::duration>(place);
    std::this_thread::sleep_until(due);
    if (waiting >= kMostWaiting) {
      ++withheld;
      continue;
    }
    ++waiting;
    Begin(number, due, queue);
  }
  queue.Shutdown();
  collector.join();
  report.withheld = withheld;
  std::sort(report.refused_ms.begin(), report.refused_ms.end());
  std::sort(report.answered_ms.begin(), report.answered_ms.end());
  return report;
}

}  // namespace ferment::load
