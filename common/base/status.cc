// SPDX-License-Identifier: Apache-2.0
#include "common/base/status.h"

#include <array>
#include <utility>

#include "common/base/check.h"

namespace ferment {

std::string_view StatusCodeName(StatusCode code) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

Status::Status(StatusCode code, std::string message)
    : failure_(std::make_unique<Failure>(Failure{code, 0, std::move(message)})) {
  FERMENT_CHECK(code != StatusCode::kOk) << "a failure needs a code";
}

Status::Status(const Status& other) : failure_(other.failure_ ? std::make_unique<Failure>(*other.failure_) : nullptr) {}

Status& Status::operator=(const Status& other) {
  failure_ = other.failure_ ? std::make_unique<Failure>(*other.failure_) : nullptr;
  return *this;
}

Status Status::With(std::string_view context) const {
  Status result = *this;
  if (result.failure_) result.failure_->message = std::string(context) + ": " + result.failure_->message;
  return result;
}

Status Status::WithExitCode(int exit_code) const {
  Status result = *this;
  if (result.failure_) result.failure_->exit_code = exit_code;
  return result;
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  return std::string(StatusCodeName(code())) + ": " + failure_->message;
}

Status CancelledError(std::string message) { return {StatusCode::kCancelled, std::move(message)}; }
Status InvalidArgumentError(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }
Status DeadlineExceededError(std::string message) { return {StatusCode::kDeadlineExceeded, std::move(message)}; }
Status NotFoundError(std::string message) { return {StatusCode::kNotFound, std::move(message)}; }
Status AlreadyExistsError(std::string message) { return {StatusCode::kAlreadyExists, std::move(message)}; }
Status PermissionDeniedError(std::string message) { return {StatusCode::kPermissionDenied, std::move(message)}; }
Status ResourceExhaustedError(std::string message) { return {StatusCode::kResourceExhausted, std::move(message)}; }
Status FailedPreconditionError(std::string message) { return {StatusCode::kFailedPrecondition, std::move(message)}; }
Status AbortedError(std::string message) { return {StatusCode::kAborted, std::move(message)}; }
Status OutOfRangeError(std::string message) { return {StatusCode::kOutOfRange, std::move(message)}; }
Status UnimplementedError(std::string message) { return {StatusCode::kUnimplemented, std::move(message)}; }
Status InternalError(std::string message) { return {StatusCode::kInternal, std::move(message)}; }
Status UnavailableError(std::string message) { return {StatusCode::kUnavailable, std::move(message)}; }
Status DataLossError(std::string message) { return {StatusCode::kDataLoss, std::move(message)}; }

int ProcessExitCode(const Status& status) {
  if (status.ok()) return exit_code::kOk;
  if (status.exit_code() != 0) return status.exit_code();
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
      return exit_code::kBadSpec;
    case StatusCode::kNotFound:
    case StatusCode::kDataLoss:
      return exit_code::kBadData;
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
      return exit_code::kMissingService;
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
    case StatusCode::kFailedPrecondition:
      return exit_code::kNotAllowed;
    case StatusCode::kAborted:
      return exit_code::kFenced;
    case StatusCode::kResourceExhausted:
      return exit_code::kOverloaded;
    case StatusCode::kCancelled:
      return exit_code::kTerminated;
    default:
      return exit_code::kBug;
  }
}

}  // namespace ferment
