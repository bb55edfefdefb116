// SPDX-License-Identifier: Apache-2.0
//
// How much a request may hold, and how much all that wait for an answer may hold together.
#pragma once

#include <google/protobuf/message.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/metrics/metric.h"
#include "coordinator/scheduler/operation.h"

namespace ferment::coordinator {

/// What passes has been taken from gRPC, which keeps a request until its call has ended: the handler frees it when it
/// returns, and only what it copied waits. Bytes are those that a request has when it is written anew.
///
/// As in RequestQueue, held work and the rest may each fill three quarters of the limit. Thread: any. Outlives the
/// shares that it gives.
class RequestDoor {
 public:
  /// Three quarters of it are some 4,096 commits. What is made of a byte takes up to 48 in memory: 192 MiB in all.
  static constexpr std::size_t kWaitingBytes = std::size_t{4} << 20;

  /// Counts in `refused` whom there was no room for.
  explicit RequestDoor(metrics::Counter& refused, std::size_t limit = kWaitingBytes)
      : refused_(refused), limit_(limit) {}

  /// Bytes that are taken, until the last copy is gone.
  using Share = std::shared_ptr<const void>;
  template <typename Request>
  struct Admitted {
    Request request;
    Share share;
  };
  struct Refusal {
    Status why;
    /// Of the request; empty where it is about none.
    std::string field;
  };
  template <typename What>
  using OrRefusal = tl::expected<What, Refusal>;

  /// For what waits in the scheduler. Errors: those of Take; ResourceExhausted where too much waits.
  template <typename Request>
  OrRefusal<Admitted<Request>> Admit(RequestKind kind, const Request* received) {
    OrRefusal<Request> request = Take(received);
    if (!request) return tl::unexpected<Refusal>(std::move(request).error());
    Result<Share> share = Reserve(kind, request->ByteSizeLong());
    if (!share) return tl::unexpected<Refusal>(Refusal{std::move(share).error(), ""});
    return Admitted<Request>{*std::move(request), *std::move(share)};
  }

  /// For a stream, which has a place of its own. Errors: InvalidArgument where the request is larger than the
  /// `max_bytes` of its type in the proto.
  template <typename Request>
  static OrRefusal<Request> Take(const Request* received) {
    static const std::size_t limit = MostBytes(*Request::descriptor());
    // gRPC made it for this call, and destroys it later whatever it then holds.
    Request request = std::move(*const_cast<Request*>(received));
    const std::size_t bytes = request.ByteSizeLong();
    if (bytes > limit) return tl::unexpected<Refusal>(TooLarge(request, bytes, limit));
    return request;
  }

 private:
  class Bytes;
  static std::size_t MostBytes(const google::protobuf::Descriptor& type);
  static Refusal TooLarge(google::protobuf::Message& request, std::size_t bytes, std::size_t limit);
  Result<Share> Reserve(RequestKind kind, std::size_t bytes);

  metrics::Counter& refused_;
  const std::size_t limit_;
  std::atomic<std::size_t> held_{0};
  std::atomic<std::size_t> rest_{0};
};

}  // namespace ferment::coordinator
