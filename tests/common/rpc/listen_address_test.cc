// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/listen_address.h"

#include <gtest/gtest.h>

namespace ferment::rpc {
namespace {

TEST(ListenAddress, ReadsHostAndPort) {
  const auto v4 = ParseListenAddress("127.0.0.1:7600");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 7600);
  const auto v6 = ParseListenAddress("[::1]:0");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->ToString(), "[::1]:0");
}

TEST(ListenAddress, RefusesWhatIsNone) {
  for (const char* text : {"", ":1", "host", "host:", "host:x", "host:65536", "::1:5", "host:-1", "host:1x"}) {
    const auto address = ParseListenAddress(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(ProcessExitCode(address.error()), exit_code::kUsage);
  }
}

TEST(ListenAddress, StaysOnThisMachineUnlessToldOtherwise) {
  for (const char* text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(RefuseOpenAddress(*ParseListenAddress(text), false).ok()) << text;
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "myhost:1"}) {
    const Status status = RefuseOpenAddress(*ParseListenAddress(text), false);
    EXPECT_EQ(ProcessExitCode(status), exit_code::kNotAllowed) << text;
    EXPECT_TRUE(RefuseOpenAddress(*ParseListenAddress(text), true).ok()) << text;
  }
}

}  // namespace
}  // namespace ferment::rpc
