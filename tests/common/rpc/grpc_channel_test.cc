// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_channel.h"

#include <gtest/gtest.h>

#include "common/rpc/grpc_status.h"

namespace ferment::rpc {
namespace {

using std::chrono::milliseconds;

CallOptions Patient() {
  return {.retry_for = std::chrono::minutes(1), .first_pause = milliseconds(1), .longest_pause = milliseconds(2)};
}

TEST(GrpcChannel, AnAttemptThatItsServerCancelledIsOneThatNobodyAnswered) {
  const auto cancelled = [](grpc::ClientContext&) { return grpc::Status(grpc::StatusCode::CANCELLED, "shut down"); };
  const grpc::Status status = CallOnce(milliseconds(100), {}, cancelled);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "the server ended the call: shut down");
  std::stop_source source;
  const grpc::Status asked_for = CallOnce(milliseconds(100), source.get_token(), [&](grpc::ClientContext& context) {
    source.request_stop();
    return cancelled(context);
  });
  EXPECT_EQ(asked_for.error_code(), grpc::StatusCode::CANCELLED);
}

TEST(GrpcChannel, TriesOnceWithoutPatience) {
  int attempts = 0;
  const Status status = CallWithRetry({}, [&](grpc::ClientContext&) {
    ++attempts;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
  });
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(attempts, 1);
}

TEST(GrpcChannel, TriesAgainWhileNobodyAnswers) {
  int attempts = 0;
  const Status status = CallWithRetry(Patient(), [&](grpc::ClientContext&) {
    ++attempts;
    if (attempts == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
    if (attempts == 2) return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "slow");
    return grpc::Status::OK;
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(attempts, 3);
}

TEST(GrpcChannel, TellsOnceThatItWaitsAndNotOfAFullService) {
  std::vector<std::string> told;
  CallOptions options = Patient();
  options.on_wait = [&](const Status& failure) { told.emplace_back(failure.message()); };
  int attempts = 0;
  const auto attempt = [&](grpc::ClientContext&) {
    ++attempts;
    if (attempts == 1) return ToGrpc(ResourceExhaustedError("full"));
    if (attempts < 5) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone " + std::to_string(attempts));
    return grpc::Status::OK;
  };
  EXPECT_TRUE(CallWithRetry(options, attempt).ok());
  EXPECT_EQ(told, std::vector<std::string>{"gone 2"});
  attempts = 1;
  options.retry_for = milliseconds(0);
  EXPECT_FALSE(CallWithRetry(options, attempt).ok());
  EXPECT_EQ(told.size(), 1U) << "it does not wait";
}

TEST(GrpcChannel, IsNotOpenedToWhatIsNoAddress) {
  for (const char* address : {"", "trainer", "http://127.0.0.1:50400", "127.0.0.1:99999", "127.0.0.1:0", ":50400"}) {
    const auto channel = OpenChannel(address, {});
    ASSERT_FALSE(channel) << address;
    EXPECT_EQ(ProcessExitCode(channel.error()), exit_code::kUsage) << address;
  }
  for (const char* address : {"coordinator-0.coordinator:7070", "[::1]:50400", "127.0.0.1:50400"}) {
    EXPECT_TRUE(OpenChannel(address, {})) << address;
  }
}

TEST(GrpcChannel, TakesACallThatItsServerCancelledForOneThatNobodyAnswered) {
  int attempts = 0;
  const auto attempt = [&](grpc::ClientContext&) {
    return ++attempts == 1 ? grpc::Status::CANCELLED : grpc::Status::OK;
  };
  EXPECT_TRUE(CallWithRetry(Patient(), attempt).ok());
  EXPECT_EQ(attempts, 2);
  attempts = 0;
  const Status once = CallWithRetry({}, attempt);
  EXPECT_EQ(once.code(), StatusCode::kUnavailable) << once.ToString();
}

TEST(GrpcChannel, NeverRepeatsARefusal) {
  int attempts = 0;
  const Status status = CallWithRetry(Patient(), [&](grpc::ClientContext&) {
    ++attempts;
    return grpc::Status(grpc::StatusCode::ABORTED, "the lease is lost");
  });
  EXPECT_EQ(status.code(), StatusCode::kAborted);
  EXPECT_EQ(attempts, 1);
}

TEST(GrpcChannel, ComesBackToAFullServiceWhenItSays) {
  int attempts = 0;
  const auto before = std::chrono::steady_clock::now();
  const Status status = CallWithRetry(Patient(), [&](grpc::ClientContext&) {
    return ++attempts == 1 ? ToGrpc(ResourceExhaustedError("too many requests wait")) : grpc::Status::OK;
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(attempts, 2);
  EXPECT_GE(std::chrono::steady_clock::now() - before, kRetryDelay);
}

TEST(GrpcChannel, TakesAFullServicesWordThatNamesNoTimeAsARefusal) {
  int attempts = 0;
  const Status status = CallWithRetry(Patient(), [&](grpc::ClientContext&) {
    ++attempts;
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the message is too large");
  });
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(attempts, 1);
}

TEST(GrpcChannel, GivesEachAttemptItsDeadline) {
  CallOptions options;
  options.deadline = milliseconds(1'500);
  const auto before = std::chrono::system_clock::now();
  const Status status = CallWithRetry(options, [&](grpc::ClientContext& context) {
    EXPECT_GE(context.deadline(), before + milliseconds(1'000));
    EXPECT_LE(context.deadline(), std::chrono::system_clock::now() + milliseconds(1'500));
    return grpc::Status::OK;
  });
  EXPECT_TRUE(status.ok());
}

TEST(GrpcChannel, StopsBetweenAttemptsWhenAsked) {
  std::stop_source source;
  CallOptions options = Patient();
  options.first_pause = options.longest_pause = std::chrono::seconds(30);
  options.stop = source.get_token();
  const Status status = CallWithRetry(options, [&](grpc::ClientContext&) {
    source.request_stop();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
  });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
}

TEST(GrpcChannel, StopsWithinAnAttemptWhenAsked) {
  std::stop_source source;
  CallOptions options = Patient();
  options.stop = source.get_token();
  const Status status = CallWithRetry(options, [&](grpc::ClientContext&) {
    source.request_stop();
    return grpc::Status::CANCELLED;
  });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace ferment::rpc
