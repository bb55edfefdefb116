// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_images.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "common/io/atomic_file.h"
#include "common/io/audit_log.h"
#include "common/io/fenced_writer.h"
#include "common/io/file_calls.h"
#include "common/io/local_file_system.h"
#include "tests/support/manual_clock.h"

namespace ferment::io {
namespace {

using testing::CrashImages;
using testing::CrashReport;

constexpr int kSeeds = 6;

/// One of the versions that a file has one after the other; 0 is what it is before. Two pages and a half.
std::string Version(int number) { return std::string(10'000, static_cast<char>('a' + number)); }

/// How a file is replaced.
using Writer = std::function<Status(const std::filesystem::path&, std::string_view)>;

/// Two calls of libc's in place of one, with what a writer may forget.
struct Forgetful {
  bool syncs_file = true;
  bool syncs_folder = true;
  bool renames = true;

  Status operator()(const std::filesystem::path& path, std::string_view text) const {
    const std::filesystem::path written = renames ? path.string() + ".new" : path.string();
    const int handle = ::open(written.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    FERMENT_RETURN_IF_ERROR(WriteAll(handle, std::as_bytes(std::span(text)), "cannot write", path));
    if (syncs_file && ::fsync(handle) != 0) return UnavailableError("cannot sync");
    ::close(handle);
    if (renames && ::rename(written.c_str(), path.c_str()) != 0) return UnavailableError("cannot rename");
    return syncs_folder ? SyncFolder(path.parent_path()) : Status();
  }
};

class CrashImagesTest : public ::testing::Test {
 protected:
  ~CrashImagesTest() override { std::filesystem::remove_all(folder_); }

  /// A file is replaced twice. Each image must hold the version that was acknowledged, or the one after it.
  CrashReport Replace(const Writer& write) const {
    const std::filesystem::path file = folder_ / "a";
    std::ofstream(file) << Version(0);
    CrashImages images(folder_);
    for (int number = 1; number <= 2; ++number) {
      EXPECT_TRUE(write(file, Version(number)).ok());
      images.Acknowledge();
    }
    images.Stop();
    EXPECT_TRUE(images.SawAll());
    return images.Try(kSeeds, [&](int acknowledged) -> std::string {
      const auto text = ReadTextFile(file);
      if (!text) return text.error().ToString();
      if (*text == Version(acknowledged) || *text == Version(acknowledged + 1)) return "";
      return "another text of " + std::to_string(text->size()) + " bytes";
    });
  }

  const std::filesystem::path folder_ = testing::FreshImageFolder("crash-images");
};

TEST_F(CrashImagesTest, AFileThatIsSyncedRenamedAndItsFolderSyncedIsOldOrNewInEachImage) {
  const CrashReport report =
      Replace([](const auto& path, std::string_view text) { return WriteFileAtomically(path, text); });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(report.images, 20);
  FencedWriter writer;
  const CrashReport fenced = Replace(
      [&](const auto& path, std::string_view text) { return writer.Write(path, text, [] { return Status(); }); });
  EXPECT_EQ(fenced.broken, 0) << fenced.first;
}

TEST_F(CrashImagesTest, CatchesAWriterThatForgetsAnyOfIt) {
  EXPECT_EQ(Replace(Forgetful{}).broken, 0);
  EXPECT_GT(Replace(Forgetful{.syncs_file = false}).broken, 0);
  EXPECT_GT(Replace(Forgetful{.syncs_folder = false}).broken, 0);
  EXPECT_GT(Replace(Forgetful{.renames = false}).broken, 0);
}

TEST_F(CrashImagesTest, AWriteThatIsNotSyncedIsDroppedKeptTornAndZeros) {
  const std::filesystem::path file = folder_ / "a";
  CrashImages images(folder_);
  EXPECT_TRUE(Forgetful({.syncs_file = false, .syncs_folder = false, .renames = false})(file, Version(1)).ok());
  images.Stop();
  bool absent = false, empty = false, whole = false, zeros = false, torn_at_a_sector = false, torn_at_a_page = false;
  (void)images.Try(50, [&](int) {
    const auto text = ReadTextFile(file);
    if (!text) {
      absent = true;
      return "";
    }
    const std::size_t kept = text->find_first_not_of('b');
    if (text->empty()) empty = true;
    if (*text == Version(1)) whole = true;
    if (*text == std::string(Version(1).size(), '\0')) zeros = true;
    if (kept != std::string::npos && kept % 4096 == 512) torn_at_a_sector = true;
    if (kept == 4096) torn_at_a_page = true;
    return "";
  });
  EXPECT_TRUE(absent && empty && whole && zeros && torn_at_a_sector && torn_at_a_page)
      << absent << empty << whole << zeros << torn_at_a_sector << torn_at_a_page;
}

TEST_F(CrashImagesTest, WhatWasSyncedIsInEachLaterImage) {
  ASSERT_TRUE(CreateFolders(folder_ / "b" / "c").ok());
  CrashImages images(folder_);
  ASSERT_TRUE(CreateFolders(folder_ / "x" / "y").ok());
  images.Acknowledge();
  ASSERT_TRUE(WriteFileAtomically(folder_ / "x" / "y" / "z", Version(1)).ok());
  images.Acknowledge();
  std::filesystem::remove_all(folder_ / "b");
  images.Stop();
  EXPECT_TRUE(images.SawAll());
  bool undone = false;
  const CrashReport report = images.Try(kSeeds, [&](int acknowledged) -> std::string {
    undone = undone || (acknowledged == 2 && std::filesystem::exists(folder_ / "b" / "c"));
    if (acknowledged > 0 && !std::filesystem::is_directory(folder_ / "x" / "y")) return "no folder";
    if (acknowledged > 1 && ReadTextFile(folder_ / "x" / "y" / "z") != Version(1)) return "no file";
    return "";
  });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_TRUE(undone) << "a removal that nobody synced";
}

TEST_F(CrashImagesTest, SaysWhereAChangeWentByUnseen) {
  CrashImages images(folder_);
  std::ofstream(folder_ / "stream") << "a stream's open is libc's own";
  images.Stop();
  EXPECT_FALSE(images.SawAll());
  EXPECT_TRUE(images.SawAll({"stream"}));
}

// Its lines are synced once a second, and when it is closed: what was synced is what must be there.
TEST_F(CrashImagesTest, AnAuditLogHasEachLineThatWasSyncedAndGoesOnBehindATornOne) {
  const std::filesystem::path file = folder_ / "audit.jsonl";
  testing::ManualClock clock;
  CrashImages images(folder_);
  {
    const auto log = AuditLog::Open(file, clock);
    ASSERT_TRUE(log);
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE((*log)->Append({"ann", "operator", std::string(700, 'm'), "run-" + std::to_string(i), "OK"}).ok());
      ASSERT_TRUE((*log)->Sync().ok());
      images.Acknowledge();
    }
  }
  images.Stop();
  EXPECT_TRUE(images.SawAll());
  const CrashReport report = images.Try(kSeeds, [&](int acknowledged) -> std::string {
    const auto log = AuditLog::Open(file, clock);
    if (!log) return log.error().ToString();
    if ((*log)->summary().lines < static_cast<std::uint64_t>(acknowledged)) return "a line is lost";
    if (!(*log)->Append({"bob", "operator", "after", "run", "OK"}).ok()) return "it does not go on";
    const auto whole = VerifyAuditLog({file});
    return whole ? "" : whole.error().ToString();
  });
  EXPECT_EQ(report.broken, 0) << report.first;
}

TEST_F(CrashImagesTest, AnAuditLogThatGoesOnWhereOneWasKilledWhileItBeganTheNextFileLosesNoLine) {
  const std::filesystem::path file = folder_ / "audit.jsonl";
  const std::filesystem::path moved = folder_ / "audit.jsonl.1";
  testing::ManualClock clock;
  const AuditEntry entry = {"ann", "operator", "CancelRun", "run", "OK"};
  int tried = 0;
  for (int call = 1;; ++call) {
    SCOPED_TRACE("killed at call " + std::to_string(call));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    CrashImages images(folder_);
    {
      const auto log = AuditLog::Open(file, clock);
      ASSERT_TRUE(log && (*log)->Append(entry).ok());
      ASSERT_EQ(::rename(file.c_str(), moved.c_str()), 0);
      ASSERT_TRUE(SyncFolder(folder_).ok());
      if (!images.Kill(call, [&] { (void)(*log)->Rotate(entry); })) break;
    }
    {
      const auto log = AuditLog::Open(file, clock);
      ASSERT_TRUE(log && (*log)->Append(entry).ok() && (*log)->Sync().ok());
      images.Acknowledge();
    }
    images.Stop();
    EXPECT_TRUE(images.SawAll());
    const CrashReport report = images.Try(
        1, [&](int) { return std::filesystem::exists(file) ? "" : "the line went with its file"; }, /*from=*/1);
    EXPECT_EQ(report.broken, 0) << report.first;
    ++tried;
  }
  EXPECT_GT(tried, 4);
}

}  // namespace
}  // namespace ferment::io
