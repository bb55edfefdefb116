// SPDX-License-Identifier: Apache-2.0
//
// The outcome of anything that can fail: a code, a message that ends with the data, or success at no cost.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace ferment {

/// gRPC's codes and numbers, so that a status crosses a wire unchanged.
enum class StatusCode : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

/// Returns: the code's name in gRPC's spelling, such as "NOT_FOUND".
std::string_view StatusCodeName(StatusCode code);

/// A value: copy and move freely; a const Status may be read from any thread.
class [[nodiscard]] Status {
 public:
  /// Success.
  Status() = default;
  /// Requires: code is not kOk.
  Status(StatusCode code, std::string message);

  Status(const Status& other);
  Status& operator=(const Status& other);
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;

  bool ok() const { return failure_ == nullptr; }
  StatusCode code() const { return failure_ ? failure_->code : StatusCode::kOk; }
  /// What went wrong; empty on success.
  std::string_view message() const { return failure_ ? std::string_view(failure_->message) : std::string_view(); }
  /// The exit code (docs/operations.md) that a process should end with because of this, where the code alone
  /// does not tell; 0 if none was named.
  int exit_code() const { return failure_ ? failure_->exit_code : 0; }

  /// Returns: the same failure with "context: " before its message; success unchanged.
  Status With(std::string_view context) const;
  /// Returns: the same failure that asks for this process exit code.
  Status WithExitCode(int exit_code) const;
  /// Returns: "OK", or "NOT_FOUND: no such file: path=x".
  std::string ToString() const;

  friend bool operator==(const Status& a, const Status& b) {
    return a.code() == b.code() && a.message() == b.message();
  }

 private:
  struct Failure {
    StatusCode code;
    int exit_code;
    std::string message;
  };
  std::unique_ptr<Failure> failure_;
};

Status CancelledError(std::string message);
Status InvalidArgumentError(std::string message);
Status DeadlineExceededError(std::string message);
Status NotFoundError(std::string message);
Status AlreadyExistsError(std::string message);
Status PermissionDeniedError(std::string message);
Status ResourceExhaustedError(std::string message);
Status FailedPreconditionError(std::string message);
Status AbortedError(std::string message);
Status OutOfRangeError(std::string message);
Status UnimplementedError(std::string message);
Status InternalError(std::string message);
Status UnavailableError(std::string message);
Status DataLossError(std::string message);

/// Process exit codes (docs/operations.md).
namespace exit_code {
inline constexpr int kOk = 0;
inline constexpr int kBug = 1;
inline constexpr int kUsage = 2;
inline constexpr int kBadSpec = 64;
inline constexpr int kBadData = 65;
inline constexpr int kMissingService = 69;
inline constexpr int kCannotWrite = 73;
inline constexpr int kNotAllowed = 77;
inline constexpr int kUnreadableState = 78;
inline constexpr int kInterrupted = 130;
inline constexpr int kKilled = 137;
inline constexpr int kTerminated = 143;
inline constexpr int kPeerLost = 201;
inline constexpr int kFenced = 202;
inline constexpr int kHang = 203;
inline constexpr int kStorageFailed = 204;
inline constexpr int kOverloaded = 206;
}  // namespace exit_code

/// Returns: status.exit_code() where one was named, else the one its code implies (DataLoss, NotFound -> 65,
/// Unavailable -> 69, PermissionDenied -> 77, Aborted -> 202, ResourceExhausted -> 206, Internal -> 1 ...).
int ProcessExitCode(const Status& status);

}  // namespace ferment
