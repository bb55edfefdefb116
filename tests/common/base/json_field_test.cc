// SPDX-License-Identifier: Apache-2.0
#include "common/base/json_field.h"

#include <gtest/gtest.h>

namespace ferment {
namespace {

TEST(JsonField, WhatIsAbsentOrOfAnotherTypeIsItsFallback) {
  const Json object = {{"text", "a"}, {"number", 1.5}, {"count", 7U}, {"negative", -7}, {"flag", true}};
  EXPECT_EQ(TextOr(Field(object, "text"), "none"), "a");
  EXPECT_EQ(CountOr(Field(object, "count"), 0), 7U);
  for (const char* key : {"number", "negative", "flag", "absent"}) {
    EXPECT_EQ(TextOr(Field(object, key), "none"), "none") << key;
    EXPECT_EQ(CountOr(Field(object, key), 3), 3U) << key;
  }
  EXPECT_EQ(NumberOr(Field(object, "negative"), 0), -7);
  EXPECT_EQ(NumberOr(Field(object, "text"), 2), 2);
  EXPECT_FALSE(BoolOr(Field(object, "number"), false));
  EXPECT_TRUE(Field(Json::array({1}), "text").is_null());
  EXPECT_TRUE(Field(Json("text"), "text").is_null());
}

}  // namespace
}  // namespace ferment
