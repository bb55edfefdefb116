// SPDX-License-Identifier: Apache-2.0
#include "common/base/line_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <utility>

namespace ferment {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class LineStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0);
    fcntl(ends_[1], F_SETPIPE_SZ, 4096);
  }
  void TearDown() override {
    for (const int end : ends_) {
      if (end >= 0) close(end);
    }
  }
  void Fill() {
    fcntl(ends_[1], F_SETFL, O_NONBLOCK);
    while (write(ends_[1], "x", 1) == 1) continue;
    ASSERT_EQ(errno, EAGAIN);
    fcntl(ends_[1], F_SETFL, 0);
  }
  /// Returns: what there is to read now, or all until the writer's end is closed.
  std::string Read(bool to_the_end = false) {
    fcntl(ends_[0], F_SETFL, to_the_end ? 0 : O_NONBLOCK);
    std::string text;
    std::array<char, 512> some{};
    for (ssize_t n = 0; (n = read(ends_[0], some.data(), some.size())) > 0;) text.append(some.data(), n);
    return text;
  }
  void CloseReader() { close(std::exchange(ends_[0], -1)); }
  void CloseWriter() { close(std::exchange(ends_[1], -1)); }
  int writer() const { return ends_[1]; }

 private:
  std::array<int, 2> ends_{-1, -1};
};

TEST_F(LineStreamTest, LeavesOutWhatNobodyReadsAndGoesOnOnceSomebodyDoes) {
  LineStream stream(writer(), milliseconds(1));
  EXPECT_TRUE(stream.Write("first\n"));
  EXPECT_EQ(Read(), "first\n");
  Fill();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(stream.Write("lost\n"));
  EXPECT_EQ(Read().find("lost"), std::string::npos);
  EXPECT_TRUE(stream.Write("again\n"));
  EXPECT_EQ(Read(), "again\n");
}

TEST_F(LineStreamTest, WaitsForAReaderWhoIsOnlySlow) {
  std::string sent;
  std::string read;
  std::thread reader([&] { read = Read(/*to_the_end=*/true); });
  LineStream stream(writer(), hours(1));
  for (int i = 0; i < 2'000; ++i) {
    const std::string line = "line " + std::to_string(i) + '\n';
    EXPECT_TRUE(stream.Write(line));
    sent += line;
  }
  CloseWriter();
  reader.join();
  EXPECT_EQ(read, sent);
}

TEST_F(LineStreamTest, ALineThatWasCutOffIsEndedBeforeTheNextOne) {
  LineStream stream(writer(), milliseconds(1));
  EXPECT_FALSE(stream.Write(std::string(10'000, 'a') + '\n'));
  EXPECT_EQ(Read(), std::string(4'096, 'a'));
  EXPECT_TRUE(stream.Write("next\n"));
  EXPECT_EQ(Read(), "\nnext\n");
}

TEST_F(LineStreamTest, WhoHasGoneIsNotWaitedFor) {
  const auto former = std::signal(SIGPIPE, SIG_IGN);
  LineStream stream(writer(), hours(1));
  CloseReader();
  EXPECT_FALSE(stream.Write("to nobody\n"));
  std::signal(SIGPIPE, former);
}

}  // namespace
}  // namespace ferment
