// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <string>
#include <string_view>
#include <utility>

#include "common/base/logging.h"
#include "common/base/mutex.h"

namespace ferment::rpc {
namespace {

constexpr int kErrors = 10;
constexpr std::chrono::seconds kSpan{10};

std::optional<std::uint64_t> TakeError() {
  static Mutex mutex;
  static LineLimit limit(kErrors, kSpan);
  const MutexLock lock(mutex);
  return limit.Take(std::chrono::steady_clock::now());
}

void Say(gpr_log_func_args* said) {
  const std::string_view path = said->file;
  const std::string source = std::string(path.substr(path.rfind('/') + 1)) + ':' + std::to_string(said->line);
  if (said->severity != GPR_LOG_SEVERITY_ERROR) {
    LogInfo("grpc", {{"says", said->message}, {"source", source}});
  } else if (const auto left_out = TakeError()) {
    LogWarning("grpc", {{"says", said->message}, {"source", source}, {"left_out_before", *left_out}});
  }
}

}  // namespace

void LogWhatGrpcSays() { gpr_set_log_function(Say); }

std::optional<std::uint64_t> LineLimit::Take(std::chrono::steady_clock::time_point now) {
  if (taken_ == 0 || now - begun_ >= span_) {
    begun_ = now;
    taken_ = 0;
  }
  if (taken_ == lines_) {
    ++left_out_;
    return std::nullopt;
  }
  ++taken_;
  return std::exchange(left_out_, 0);
}

}  // namespace ferment::rpc
