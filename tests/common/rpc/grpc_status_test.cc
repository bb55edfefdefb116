// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_status.h"

#include <gtest/gtest.h>

namespace ferment::rpc {
namespace {

TEST(GrpcStatus, CrossesAndComesBack) {
  EXPECT_TRUE(FromGrpc(ToGrpc(Status())).ok());
  for (int code = 1; code <= 16; ++code) {
    const Status status(static_cast<StatusCode>(code), "shard=7 was lost");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status) << code;
    EXPECT_EQ(FromGrpc(ToGrpc(status)).exit_code(), 0);
  }
}

TEST(GrpcStatus, CarriesTheExitCode) {
  EXPECT_EQ(FromGrpc(ToGrpc(DataLossError("x").WithExitCode(exit_code::kBadData))).exit_code(), exit_code::kBadData);
}

TEST(GrpcStatus, IgnoresDetailsOfAnotherKind) {
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", "\x08\x0a\x12 binary")).exit_code(), 0);
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", "exit_code=99999")).exit_code(), 0);
}

}  // namespace
}  // namespace ferment::rpc
