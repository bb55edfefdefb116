// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "common/io/atomic_file.h"
#include "common/io/audit_log.h"
#include "tests/support/crash_images.h"
#include "tests/support/manual_clock.h"

namespace ferment::io {
namespace {

/// Longer than a sector, so that a cut may tear it.
AuditEntry Entry() { return {"ann", "operator", std::string(700, 'm'), "run", "OK"}; }

class PowerCutIo : public ::testing::Test {
 protected:
  PowerCutIo() { std::filesystem::create_directories(folder_); }
  ~PowerCutIo() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("power-cut-io-" + std::to_string(::getpid()));
  const std::filesystem::path image_ = testing::ImageFolder();
  testing::ManualClock clock_;
};

TEST_F(PowerCutIo, FoldersThatAKilledProcessBeganAreThereOnceTheyAreAskedForAgain) {
  const auto made = std::filesystem::path("a") / "b" / "c";
  const auto make = [&] { return CreateFolders(folder_ / made).ok(); };
  const int kills =
      testing::ForEachCrashAfterAKill({folder_, [&] { (void)make(); }, [&] { EXPECT_TRUE(make()); }}, image_,
                                      [&] { EXPECT_TRUE(std::filesystem::is_directory(image_ / made)); });
  EXPECT_EQ(kills, 6) << "three names and their syncs";
}

TEST_F(PowerCutIo, AnAuditLogHasEachLineThatWasSyncedAndGoesOnBehindWhatACutLeftOfItsEnd) {
  const auto file = folder_ / "audit.jsonl";
  std::vector<testing::DiskChange> changes;
  {
    testing::DiskTape tape(folder_);
    for (int life = 0; life < 2; ++life) {
      const auto log = AuditLog::Open(file, clock_);
      ASSERT_TRUE(log) << log.error().ToString();
      for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE((*log)->Append(Entry()).ok());
        ASSERT_TRUE((*log)->Append(Entry()).ok());
        ASSERT_TRUE((*log)->Sync().ok());
        tape.Mark();
      }
      // Half a line of a process that was killed, which the kernel has written.
      const int handle = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
      const std::string half = R"({"line":0,"time":")" + std::string(600, 'h');
      ASSERT_EQ(::write(handle, half.data(), half.size()), static_cast<ssize_t>(half.size()));
      ASSERT_EQ(::fsync(handle), 0);
      ::close(handle);
    }
    changes = tape.changes();
  }
  const auto left = image_ / "audit.jsonl";
  const int images = testing::ForEachCrash(changes, image_, [&](int acknowledged) {
    {
      const auto log = AuditLog::Open(left, clock_);
      ASSERT_TRUE(log) << log.error().ToString();
      EXPECT_GE((*log)->summary().lines, 2U * static_cast<unsigned>(acknowledged));
      EXPECT_TRUE((*log)->Append(Entry()).ok());
    }
    const auto whole = VerifyAuditLog({left});
    EXPECT_TRUE(whole) << whole.error().ToString();
  });
  EXPECT_GT(images, 200);
}

TEST_F(PowerCutIo, OfAnAuditLogNoMoreThanAMebibyteWaitsForASync) {
  testing::DiskTape tape(folder_);
  const auto log = AuditLog::Open(folder_ / "audit.jsonl", clock_);
  ASSERT_TRUE(log) << log.error().ToString();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE((*log)->Append({"ann", "operator", std::string(400 << 10, 'm'), "run", "OK"}).ok());
  }
  const auto syncs = std::ranges::count_if(
      tape.changes(), [](const auto& change) { return change.kind == testing::DiskChange::Kind::kSync; });
  EXPECT_EQ(syncs, 2) << "before the third line and the fifth";
}

TEST_F(PowerCutIo, AnAuditLogThatGoesOnWhereOneWasKilledWhileItBeganTheNextFileLosesNoSyncedLine) {
  const auto file = folder_ / "audit.jsonl";
  std::uint64_t synced = 0;
  const auto rotate = [&] {
    const auto log = AuditLog::Open(file, clock_);
    if (!log || !(*log)->Append(Entry()).ok()) return;
    if (::rename(file.c_str(), (file.string() + ".1").c_str()) == 0) (void)(*log)->Rotate(Entry());
  };
  const auto go_on = [&] {
    const auto log = AuditLog::Open(file, clock_);
    ASSERT_TRUE(log && (*log)->Append(Entry()).ok() && (*log)->Sync().ok());
    synced = (*log)->summary().lines;
  };
  const int kills = testing::ForEachCrashAfterAKill({folder_, rotate, go_on}, image_, [&] {
    const auto log = AuditLog::Open(image_ / "audit.jsonl", clock_);
    ASSERT_TRUE(log) << log.error().ToString();
    EXPECT_EQ((*log)->summary().lines, synced);
  });
  EXPECT_GT(kills, 7);
}

}  // namespace
}  // namespace ferment::io
