// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/object_url.h"

#include <gtest/gtest.h>

namespace ferment::io {
namespace {

TEST(ObjectUrl, IsBucketAndKeyWithoutSlashesAtTheEnds) {
  EXPECT_EQ(*ParseObjectUrl("s3://faces/packs/emore/"), (ObjectUrl{"faces", "packs/emore"}));
  EXPECT_EQ(*ParseObjectUrl("s3://faces"), (ObjectUrl{"faces", ""}));
  EXPECT_EQ(*ParseObjectUrl("s3://faces/"), (ObjectUrl{"faces", ""}));
  EXPECT_EQ(ParseObjectUrl("s3://faces/a b")->Text(), "s3://faces/a b");
  EXPECT_EQ(ParseObjectUrl("s3://faces")->Below("x").Text(), "s3://faces/x");
  EXPECT_EQ(ParseObjectUrl("s3://faces/a/")->Below("x").key, "a/x");
}

TEST(ObjectUrl, RefusesOtherNames) {
  for (const char* url :
       {"s3:/faces", "s3://", "s3://ab", "s3://fa ces/x", "s3://faces:80/x", "/s3://faces", "", "s3://faces/a\nb"}) {
    const auto parsed = ParseObjectUrl(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_EQ(ProcessExitCode(parsed.error()), exit_code::kBadSpec);
  }
  EXPECT_FALSE(ParseObjectUrl("s3://faces/" + std::string(1025, 'k')));
}

}  // namespace
}  // namespace ferment::io
