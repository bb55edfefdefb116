// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "cli/run_folder.h"

/// In the place of libc's, for this whole program: as Lustre without its `flock` option has it.
extern "C" int flock(int, int) noexcept {
  errno = ENOSYS;
  return -1;
}

namespace ferment::cli {
namespace {

TEST(UnlockedRunFolder, IsNotSaidToBeAnothersButToHaveNoLocks) {
  const auto root = std::filesystem::path(::testing::TempDir()) / ("unlocked_run_" + std::to_string(getpid()));
  const auto folder = RunFolder::Open(root);
  ASSERT_FALSE(folder);
  EXPECT_EQ(ProcessExitCode(folder.error()), exit_code::kCannotWrite);
  EXPECT_NE(folder.error().message().find("without locks"), std::string_view::npos) << folder.error().ToString();
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace ferment::cli
