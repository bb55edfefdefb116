// SPDX-License-Identifier: Apache-2.0
#include "tests/support/object_gateway.h"

#include <gtest/gtest.h>

#include "tests/cluster/object_gateway_fixture.h"
#include "tests/contract/object_store_contract.h"

namespace ferment::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Memory, ObjectStoreContract, ::testing::Values([]() -> std::shared_ptr<io::ObjectStore> {
                           return std::make_shared<MemoryObjectStore>();
                         }));
INSTANTIATE_TEST_SUITE_P(Radosgw, ObjectStoreContract, ::testing::Values([]() -> std::shared_ptr<io::ObjectStore> {
                           if (Gateway() == nullptr) return nullptr;
                           return *io::OpenS3Bucket(Gateway()->Settings(), Gateway()->FreshBucket());
                         }));

INSTANTIATE_TEST_SUITE_P(RadosgwOverTls, ObjectStoreContract,
                         ::testing::Values([]() -> std::shared_ptr<io::ObjectStore> {
                           if (Gateway() == nullptr) return nullptr;
                           return *io::OpenS3Bucket(Gateway()->TlsSettings(), Gateway()->FreshBucket());
                         }));

TEST_F(ObjectGatewayTest, AWrongKeyIsNotAllowed) {
  const std::string bucket = Gateway()->FreshBucket();
  ASSERT_TRUE(Open(Gateway()->Settings(), bucket)->PutIfAbsent("k", BytesOf("one")).ok());
  const auto wrong_secret = Open(With("FERMENTTESTKEY", "guessed"), bucket)->Read("k", 0, 3, "");
  ASSERT_FALSE(wrong_secret);
  EXPECT_EQ(ProcessExitCode(wrong_secret.error()), exit_code::kNotAllowed);
  EXPECT_NE(wrong_secret.error().message().find("http=403 code=SignatureDoesNotMatch"), std::string::npos)
      << wrong_secret.error().ToString();
  const auto unknown = Open(With("NOBODY", "guessed"), bucket)->Read("k", 0, 3, "");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message().find("code=InvalidAccessKeyId"), std::string::npos) << unknown.error().ToString();
  EXPECT_EQ(Open(With("NOBODY", "guessed"), bucket)->Head("k").error().code(), StatusCode::kPermissionDenied);
}

TEST_F(ObjectGatewayTest, AClockAnHourOffIsNamed) {
  class LateClock final : public Clock {
   public:
    MonotonicTime Now() const override { return SystemClock().Now(); }
    WallTime WallNow() const override { return SystemClock().WallNow() - std::chrono::hours(1); }
  };
  const LateClock clock;
  const auto page = Open(Gateway()->Settings(), Gateway()->FreshBucket(), clock)->List("", "");
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code(), StatusCode::kPermissionDenied);
  EXPECT_NE(page.error().message().find("RequestTimeTooSkewed"), std::string::npos) << page.error().ToString();
  EXPECT_NE(page.error().message().find("s behind the store's"), std::string::npos) << page.error().ToString();
}

// This server takes a signature for any region, so a wrong one is in S3Answer.AWrongRegionNamesTheRightOne alone.
TEST_F(ObjectGatewayTest, ABucketThatIsNotThereIsNotFound) {
  const auto store = Open(Gateway()->Settings(), "no-such-bucket");
  for (const Status& status :
       {store->List("", "").error(), store->Read("k", 0, 1, "").error(), store->PutIfAbsent("k", BytesOf("x"))}) {
    EXPECT_EQ(status.code(), StatusCode::kNotFound);
    EXPECT_NE(status.message().find("NoSuchBucket"), std::string::npos) << status.ToString();
    EXPECT_NE(status.message().find("s3://no-such-bucket"), std::string::npos) << status.ToString();
  }
}

TEST_F(ObjectGatewayTest, AServerThatHangsRunsIntoTheDeadlineAndIsUsedAgainAfterwards) {
  io::S3Settings settings = Gateway()->Settings();
  settings.request_deadline = std::chrono::milliseconds(500);
  settings.retry_for = std::chrono::milliseconds(1);
  const auto store = Open(settings, Gateway()->FreshBucket());
  ASSERT_TRUE(store->PutIfAbsent("k", BytesOf("one")).ok());
  Gateway()->Pause();
  const auto facts = store->Head("k");
  Gateway()->Continue();
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code(), StatusCode::kDeadlineExceeded) << facts.error().ToString();
  const auto again = Open(Gateway()->Settings(), "bucket-x")->Head("k");
  EXPECT_TRUE(again || again.error().code() == StatusCode::kNotFound) << again.error().ToString();
}

}  // namespace
}  // namespace ferment::testing
