// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "common/base/clock.h"
#include "common/config/run_layout.h"
#include "common/config/spec_defaults.h"
#include "common/io/atomic_file.h"
#include "common/io/audit_log.h"
#include "common/io/folder_claim.h"
#include "coordinator/local_run_files.h"

/// In the place of libc's, for this whole program: every file system is one without locks.
extern "C" int flock(int, int) noexcept {
  errno = ENOLCK;
  return -1;
}

namespace ferment::coordinator {
namespace {

namespace fs = std::filesystem;

class UnlockedFolder : public ::testing::Test {
 protected:
  UnlockedFolder() : layout_(fs::path(::testing::TempDir()) / ("unlocked-" + std::to_string(getpid()))) {
    spec_.set_name("small");
  }
  ~UnlockedFolder() override { fs::remove_all(layout_.root()); }

  const RunLayout layout_;
  RunSpec spec_ = DefaultSpec();
};

// Without a lock nobody knows whether the former owner lives, so that its claims stay.
TEST_F(UnlockedFolder, KeepsTheClaimsOfAFormerOwnersTrainerAndSaysWhichFilesToRemove) {
  const auto former = MakeLocalRunFiles();
  ASSERT_TRUE(former->PrepareRun(spec_, layout_.root(), "small-1@1").ok());
  const fs::path job = layout_.Job("teacher");
  ASSERT_TRUE(io::CreateFolders(job).ok());
  const auto seventh = io::FolderClaim::Take(job, 7);
  ASSERT_TRUE(seventh) << seventh.error().ToString();

  const auto next = MakeLocalRunFiles();
  EXPECT_TRUE(next->PrepareRun(spec_, layout_.root(), "small-1@2").ok()) << "nothing keeps it off";
  const auto refused = io::FolderClaim::Take(job, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kFenced);
  const std::string message(refused.error().message());
  EXPECT_NE(message.find("path=" + job.string() + "; where none does, remove its .writer-* and start again"),
            std::string::npos)
      << message;
  EXPECT_TRUE(seventh->Check().ok()) << "who was refused has taken nothing away";

  int removed = 0;
  for (const auto& entry : fs::directory_iterator(job)) {
    if (entry.path().filename().string().starts_with(".writer-")) removed += fs::remove(entry.path()) ? 1 : 0;
  }
  EXPECT_EQ(removed, 1);
  EXPECT_TRUE(io::FolderClaim::Take(job, 1));
}

TEST_F(UnlockedFolder, HasNoAuditLogAndTheReasonIsNotAnotherProcess) {
  ASSERT_TRUE(io::CreateFolders(layout_.root()).ok());
  const auto refused = io::AuditLog::Open(layout_.root() / "audit.jsonl", SystemClock());
  ASSERT_FALSE(refused);
  EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kCannotWrite);
  EXPECT_NE(refused.error().message().find("No locks available"), std::string_view::npos) << refused.error().ToString();
}

}  // namespace
}  // namespace ferment::coordinator
