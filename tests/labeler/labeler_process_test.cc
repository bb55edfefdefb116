// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/base/status.h"
#include "common/event/child_process.h"

namespace ferment::labeler {
namespace {

/// The program, offline, in the middle of something that no stop ends: it reads a spec that never comes.
class LabelerProcess : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / "labeler_process";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ / "run");
    const std::string spec = folder_ / "run" / "spec.yaml";
    ASSERT_EQ(mkfifo(spec.c_str(), 0600), 0);
    auto started = event::ChildProcess::Start(
        {.argv = {FERMENT_BIN_DIR "/ferment-labeler", "--offline", "--run-dir", folder_ / "run", "--device", "cpu"},
         .output = folder_ / "log"});
    ASSERT_TRUE(started) << started.error().message();
    process_.emplace(std::move(*started));
    // Without a reader there is none to write to.
    while (writer_ < 0 && !process_->Poll()) {
      writer_ = open(spec.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
      std::this_thread::yield();
    }
    ASSERT_GE(writer_, 0) << Log();
  }
  ~LabelerProcess() override {
    if (process_) process_->End(std::chrono::milliseconds(0));
    if (writer_ >= 0) close(writer_);
  }

  /// Returns once the process has taken the signal up, or has ended.
  void Interrupt() {
    process_->Signal(SIGINT);
    while (IsPending(SIGINT) && !process_->Poll()) std::this_thread::yield();
  }
  bool IsPending(int number) const {
    std::ifstream status("/proc/" + std::to_string(process_->pid()) + "/status");
    std::string word;
    while (status >> word && word != "ShdPnd:") {
    }
    std::uint64_t pending = 0;
    status >> std::hex >> pending;
    return (pending >> (number - 1) & 1) != 0;
  }
  void LetTheSpecEnd() { close(std::exchange(writer_, -1)); }
  std::string Log() const {
    std::ifstream stream(folder_ / "log");
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::filesystem::path folder_;
  std::optional<event::ChildProcess> process_;
  int writer_ = -1;
};

TEST_F(LabelerProcess, LeavesAfterOneInterruptAsAfterTerm) {
  Interrupt();
  ASSERT_FALSE(process_->Poll()) << Log();
  LetTheSpecEnd();
  EXPECT_EQ(process_->WaitFor(std::chrono::seconds(60)), exit_code::kTerminated) << Log();
}

TEST_F(LabelerProcess, ASecondInterruptEndsItAtOnce) {
  Interrupt();
  ASSERT_FALSE(process_->Poll()) << Log();
  Interrupt();
  EXPECT_EQ(process_->WaitFor(std::chrono::seconds(60)), exit_code::kInterrupted) << Log();
}

}  // namespace
}  // namespace ferment::labeler
