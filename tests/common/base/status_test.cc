// SPDX-License-Identifier: Apache-2.0
#include "common/base/status.h"

#include <gtest/gtest.h>

#include "common/base/result.h"

namespace ferment {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) return Fail(InvalidArgumentError("not even: value=" + std::to_string(value)));
  return value / 2;
}

Result<int> Quarter(int value) {
  FERMENT_ASSIGN_OR_RETURN(const int half, Half(value));
  return Half(half);
}

Status CheckQuarter(int value) {
  FERMENT_ASSIGN_OR_RETURN([[maybe_unused]] const int quarter, Quarter(value));
  return {};
}

TEST(Status, SuccessHasNoMessage) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().ToString(), "OK");
  EXPECT_EQ(ProcessExitCode(Status()), 0);
}

TEST(Status, ContextGoesBeforeTheMessageAndKeepsTheCode) {
  const Status status = DataLossError("truncated: bytes=112").WithExitCode(65).With("reading shard 7");
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_EQ(status.ToString(), "DATA_LOSS: reading shard 7: truncated: bytes=112");
  EXPECT_EQ(status.exit_code(), 65);
}

TEST(Status, CopiesAreIndependent) {
  const Status original = NotFoundError("no such file");
  const Status changed = original.With("spec");
  EXPECT_EQ(original.message(), "no such file");
  EXPECT_EQ(changed.message(), "spec: no such file");
}

TEST(Result, MacrosPassTheFailureUp) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(6).error().message(), "not even: value=3");
  EXPECT_FALSE(CheckQuarter(7).ok());
  EXPECT_TRUE(CheckQuarter(8).ok());
}

TEST(Status, CodesImplyTheExitCodesThatScriptsRelyOn) {
  EXPECT_EQ(ProcessExitCode(InvalidArgumentError("x")), 64);
  EXPECT_EQ(ProcessExitCode(DataLossError("x")), 65);
  EXPECT_EQ(ProcessExitCode(UnavailableError("x")), 69);
  EXPECT_EQ(ProcessExitCode(FailedPreconditionError("x")), 77) << "78 is for state that cannot be read, and is named";
  EXPECT_EQ(ProcessExitCode(AbortedError("x")), 202);
  EXPECT_EQ(ProcessExitCode(InternalError("x").WithExitCode(204)), 204);
}

}  // namespace
}  // namespace ferment
