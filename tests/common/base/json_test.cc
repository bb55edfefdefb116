// SPDX-License-Identifier: Apache-2.0
#include "common/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ferment {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;  // NOLINT(google-build-using-namespace): the suffix s, for texts with a NUL

std::string WhatIsWrongWith(const std::string& text) {
  const auto parsed = ParseJson(text);
  return parsed ? "nothing" : std::string(parsed.error().message());
}

TEST(ParseJson, SaysWhereATextCeasesToBeJson) {
  EXPECT_EQ(WhatIsWrongWith("{\"a\": 1}"), "nothing");
  EXPECT_THAT(WhatIsWrongWith("{\"a\": 1,\n \"b\": x}"), HasSubstr("line=2 column=7 byte=16 bytes=17"));
  EXPECT_THAT(WhatIsWrongWith("{} {}"), HasSubstr("line=1 column=4 byte=4 bytes=5"));
}

TEST(ParseJson, SaysThatATextEndsTooSoon) {
  EXPECT_THAT(WhatIsWrongWith("{\"a\": 1"), HasSubstr("ends too soon: line=1 column=8 byte=8 bytes=7"));
  EXPECT_THAT(WhatIsWrongWith(""), HasSubstr("ends too soon: line=1 column=1 byte=1 bytes=0"));
}

TEST(ParseJson, ANulIsNotTheEnd) {
  EXPECT_THAT(WhatIsWrongWith("{}\0more"s), HasSubstr("line=1 column=3 byte=3 bytes=7"));
  EXPECT_THAT(WhatIsWrongWith("{}\n\0\0\0"s), HasSubstr("line=2 column=1 byte=4 bytes=6"));
}

TEST(ParseJson, ANumberThatNoDoubleHoldsIsNoException) {
  EXPECT_THAT(WhatIsWrongWith("{\n \"n\": 6e0492}"), HasSubstr("line=2 column=7 byte=9 bytes=15"));
  EXPECT_THAT(WhatIsWrongWith("-1e999"), HasSubstr("line=1 column=1 byte=1 bytes=6"));
}

TEST(ParseJson, QuotesNothingOfTheText) {
  EXPECT_THAT(WhatIsWrongWith("{\"token\": secret}"), ::testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace ferment
