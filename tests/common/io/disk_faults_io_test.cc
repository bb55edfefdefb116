// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>

#include "common/io/atomic_file.h"
#include "common/io/audit_log.h"
#include "common/io/fenced_writer.h"
#include "common/io/local_file_system.h"
#include "tests/support/disk_fault_sweep.h"
#include "tests/support/manual_clock.h"

namespace ferment::io {
namespace {

using testing::DiskFault;
using testing::ExpectStorageFailure;
using testing::ManualClock;
using testing::SweepDiskFaults;

const std::string kOld(3'000, 'o');
const std::string kNew(5'000, 'n');

std::filesystem::path FreshFolder() {
  const auto folder = std::filesystem::path(::testing::TempDir()) / ("io-faults-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

/// The file is the old one or the new one, and nothing of a try that failed stays, save where not even unlink works.
void ExpectOldOrNew(const std::filesystem::path& file, const Status& status, const DiskFault& fault) {
  const std::string text = *ReadTextFile(file);
  EXPECT_TRUE(text == kNew || (!status.ok() && text == kOld));
  const auto files = std::distance(std::filesystem::directory_iterator(file.parent_path()), {});
  EXPECT_TRUE(fault.persists || files == 1) << files;
}

TEST(DiskFaultsIo, AnAtomicFileIsWrittenOrFailsWith204AndTheFileIsOldOrNew) {
  const int failed = SweepDiskFaults([](const DiskFault& fault) {
    const auto file = FreshFolder() / "a";
    EXPECT_TRUE(WriteFileAtomically(file, kOld).ok());
    Status status;
    const bool happened = fault.Strike(file.parent_path(), [&] { status = WriteFileAtomically(file, kNew); });
    ExpectOldOrNew(file, status, fault);
    ExpectStorageFailure(status, fault);
    return testing::Struck{happened, !status.ok()};
  });
  EXPECT_GE(failed, 4 * 6) << "create, write, sync, close, rename and the folder's sync, in each way";
}

TEST(DiskFaultsIo, AFencedFileIsWrittenOrFailsWith204AndTheFileIsOldOrNew) {
  (void)SweepDiskFaults([](const DiskFault& fault) {
    const auto file = FreshFolder() / "a";
    EXPECT_TRUE(WriteFileAtomically(file, kOld).ok());
    FencedWriter writer;
    Status status;
    const bool happened =
        fault.Strike(file.parent_path(), [&] { status = writer.Write(file, kNew, [] { return Status(); }); });
    ExpectOldOrNew(file, status, fault);
    ExpectStorageFailure(status, fault);
    return testing::Struck{happened, !status.ok()};
  });
}

TEST(DiskFaultsIo, AFencedFileThatFailsOnceAnotherIsTheWriterFailsWith202) {
  (void)SweepDiskFaults([](const DiskFault& fault) {
    const auto file = FreshFolder() / "a";
    FencedWriter writer;
    EXPECT_TRUE(writer.Write(file, kOld, [] { return Status(); }).ok());
    Status status;
    const bool happened = fault.Strike(file.parent_path(), [&] {
      status = writer.Write(file, kNew, [] { return AbortedError("another leads").WithExitCode(exit_code::kFenced); });
    });
    EXPECT_EQ(ProcessExitCode(status), exit_code::kFenced) << status.ToString();
    EXPECT_EQ(*ReadTextFile(file), kOld);
    return testing::Struck{happened, !status.ok()};
  });
}

TEST(DiskFaultsIo, FoldersAreMadeOrFailWith204) {
  (void)SweepDiskFaults([](const DiskFault& fault) {
    const auto folder = FreshFolder();
    Status status;
    const bool happened = fault.Strike(folder, [&] { status = CreateFolders(folder / "a" / "b" / "c"); });
    ExpectStorageFailure(status, fault);
    EXPECT_TRUE(!status.ok() || std::filesystem::is_directory(folder / "a" / "b" / "c"));
    return testing::Struck{happened, !status.ok()};
  });
}

// As below a folder of another user's, in which nobody but that one makes any.
TEST(DiskFaultsIo, AFolderThatIsThereIsTakenAlsoWhereItsParentMayNotBeRead) {
  const auto folder = FreshFolder();
  std::filesystem::create_directory(folder / "a");
  const testing::DiskFaults faults(folder, testing::DiskFaults::Kind::kFail, 1, EACCES);
  EXPECT_TRUE(CreateFolders(folder / "a").ok());
  EXPECT_TRUE(faults.happened());
}

TEST(DiskFaultsIo, AnAuditLogKeepsEachLineItTookFailsForGoodAndIsNeverTorn) {
  (void)SweepDiskFaults([](const DiskFault& fault) {
    const auto file = FreshFolder() / "audit.jsonl";
    ManualClock clock;
    int taken = 0;
    Status status;
    const bool happened = fault.Strike(file.parent_path(), [&] {
      auto log = AuditLog::Open(file, clock);
      if (!log) {
        status = log.error();
        return;
      }
      for (int i = 0; i < 6; ++i) {
        const Status appended = (*log)->Append({"ann", "operator", "CancelRun", "run-" + std::to_string(i), "OK"});
        EXPECT_TRUE(status.ok() || !appended.ok()) << "nothing is taken after a failure";
        if (status.ok()) status = appended;
        if (appended.ok()) ++taken;
        clock.Advance(std::chrono::milliseconds(600));  // every second line is synced
      }
      if (status.ok()) status = (*log)->Sync();
    });
    ExpectStorageFailure(status, fault);
    if (const auto log = AuditLog::Open(file, clock); log) {
      EXPECT_GE((*log)->summary().lines, static_cast<std::uint64_t>(taken));
    } else if (taken > 0) {
      ADD_FAILURE() << log.error().ToString();
    }
    EXPECT_TRUE(taken == 0 || VerifyAuditLog({file}));
    return testing::Struck{happened, !status.ok()};
  });
}

TEST(DiskFaultsIo, AnAuditLogThatIsMovedAwayKeepsEachLineItTookOverBothFiles) {
  (void)SweepDiskFaults([](const DiskFault& fault) {
    const auto file = FreshFolder() / "audit.jsonl";
    const auto moved = file.string() + ".1";
    ManualClock clock;
    auto log = AuditLog::Open(file, clock);
    EXPECT_TRUE(log);
    int taken = 0;
    Status status;
    const auto note = [&](const Status& written) {
      EXPECT_TRUE(status.ok() || !written.ok()) << "nothing is taken after a failure";
      if (status.ok()) status = written;
      return written.ok();
    };
    const auto append = [&] {
      for (int i = 0; i < 2; ++i) taken += note((*log)->Append({"ann", "operator", "m", "run", "OK"})) ? 1 : 0;
    };
    append();
    std::filesystem::rename(file, moved);
    const bool happened = fault.Strike(file.parent_path(), [&] {
      note((*log)->Rotate({"coordinator", "", "audit.rotated", "", "OK"}));
      append();
    });
    // What stood in the way is gone, and HUP comes again.
    const bool goes_on = note((*log)->Rotate({"coordinator", "", "audit.rotated", "", "OK"}));
    append();
    ExpectStorageFailure(status, fault);
    const bool begun = std::filesystem::exists(file);
    EXPECT_TRUE(!goes_on || (begun && std::filesystem::file_size(file) > 0)) << "the second HUP did not begin it";
    // Cuts what the end of the process left half written.
    *log = nullptr;
    EXPECT_TRUE(!begun || AuditLog::Open(file, clock));
    const auto whole = begun ? VerifyAuditLog({moved, file}) : VerifyAuditLog({moved});
    EXPECT_TRUE(whole) << whole.error().ToString();
    EXPECT_TRUE(!whole || whole->lines >= static_cast<std::uint64_t>(taken));
    return testing::Struck{happened, !status.ok()};
  });
}

TEST(DiskFaultsIo, AnAuditLogThatCannotBeReadIsNotCutOff) {
  const auto file = FreshFolder() / "audit.jsonl";
  ManualClock clock;
  {
    const auto log = AuditLog::Open(file, clock);
    ASSERT_TRUE(log && (*log)->Append({"ann", "operator", "CancelRun", "run", "OK"}).ok());
  }
  const int next = ::dup(0);
  ASSERT_GE(next, 0);
  ::close(next);
  rlimit former{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &former), 0);
  rlimit one_more = former;
  one_more.rlim_cur = static_cast<rlim_t>(next) + 1;  // to write it, and none to read it
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &one_more), 0);
  const auto refused = AuditLog::Open(file, clock);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &former), 0);
  EXPECT_FALSE(refused);
  const auto whole = VerifyAuditLog({file});
  ASSERT_TRUE(whole) << whole.error().ToString();
  EXPECT_EQ(whole->lines, 1U);
}

}  // namespace
}  // namespace ferment::io
