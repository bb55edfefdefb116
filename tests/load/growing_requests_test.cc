// SPDX-License-Identifier: Apache-2.0
#include "tests/load/growing_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "tests/load/hostile_clients.h"
#include "tests/load/loaded_coordinator.h"

namespace ferment::load {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kMostMib = 512;

class GrowingLoad : public ::testing::Test {
 protected:
  /// The coordinator bore it, answers as before, and never was larger than it may.
  void ExpectItIsWell(const std::string& after) {
    const ProcessResources held = coordinator_.Now();
    std::cout << after << " rss_mib=" << held.rss_mib << " peak_rss_mib=" << held.peak_rss_mib << std::endl;
    EXPECT_TRUE(coordinator_.IsAlive());
    EXPECT_LT(held.peak_rss_mib, kMostMib) << after;
    EXPECT_THAT(AskAdmin(coordinator_.admin(), "/livez"), HasSubstr("alive"));
  }

  LoadedCoordinator coordinator_{std::filesystem::path(::testing::TempDir()) / "growing", 10};
};

TEST_F(GrowingLoad, OfTheLargestMessagesIsRefusedByTheFieldThatIsTooLarge) {
  for (const GrowingRequest& request : GrowingRequests(kMostBytesOfAMessage)) {
    for (const grpc::Status& status : CallRaw(coordinator_.address(), request.method, request.bytes, 32)) {
      ASSERT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << request.method << status.error_message();
      EXPECT_THAT(status.error_message(), AllOf(HasSubstr("limit="), HasSubstr("largest_field=")));
    }
    ExpectItIsWell(request.method);
  }
}

// Not more of them: what is on the wire is gRPC's to bound, which it does late.
TEST_F(GrowingLoad, OfMessagesThatAreTooLargeIsRefusedUnread) {
  const GrowingRequest request = GrowingRequests(std::size_t{4} << 20).back();
  for (const grpc::Status& status : CallRaw(coordinator_.address(), request.method, request.bytes, 64)) {
    EXPECT_NE(status.error_code(), grpc::StatusCode::OK);
  }
  ExpectItIsWell(request.method);
}

}  // namespace
}  // namespace ferment::load
