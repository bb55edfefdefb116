// SPDX-License-Identifier: Apache-2.0
#include "worker/curve/background_writer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>

namespace ferment::worker {
namespace {

using std::chrono_literals::operator""ms;

/// A disk that stands still while its gate is shut.
struct Gate {
  void Open() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  std::string written;
};

class GatedFile final : public RecordFile {
 public:
  explicit GatedFile(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}

  Status Append(std::string_view records, std::uint64_t) override {
    std::unique_lock lock(gate_->mutex);
    gate_->changed.wait(lock, [this] { return gate_->open; });
    gate_->written += records;
    return {};
  }

 private:
  const std::shared_ptr<Gate> gate_;
};

TEST(BackgroundWriter, WhoWaitsIsToldWhetherTheDiskHasAllOfBefore) {
  const auto gate = std::make_shared<Gate>();
  BackgroundWriter writer("test", {"file", "none"}, std::make_unique<GatedFile>(gate));
  EXPECT_TRUE(writer.Await(0ms)) << "there is nothing";
  writer.Write(0, "a");
  writer.Write(1, "b");
  EXPECT_FALSE(writer.Await(1ms));
  gate->Open();
  while (!writer.Await(0ms)) {
  }
  writer.Write(2, "c");
  EXPECT_TRUE(writer.Await(std::chrono::hours(1)));
  EXPECT_EQ(gate->written, "abc");
}

TEST(BackgroundWriter, ADiskThatWasWaitedForInVainIsNotWaitedForAgainUntilItMoves) {
  const auto gate = std::make_shared<Gate>();
  {
    BackgroundWriter writer("test", {"file", "none"}, std::make_unique<GatedFile>(gate),
                            {.farewell = std::chrono::hours(1)});
    writer.Write(0, "a");
    EXPECT_FALSE(writer.Await(1ms));
    EXPECT_FALSE(writer.Await(std::chrono::hours(1)));
  }
  gate->Open();
}

}  // namespace
}  // namespace ferment::worker
