// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "common/dataset/labels/label_index.h"

/// In the place of libc's, for this whole program: as Lustre without its `flock` option has it.
extern "C" int flock(int, int) noexcept {
  errno = ENOSYS;
  return -1;
}

namespace ferment::dataset {
namespace {

TEST(UnlockedLabelIndex, TakesCommitsAndWarnsOnce) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / ("unlocked_labels_" + std::to_string(getpid()));
  ::testing::internal::CaptureStderr();
  for (std::uint64_t shard = 0; shard < 3; ++shard) {
    EXPECT_EQ(CommitToLabelIndex(folder, shard, {"a.npz", "a", {1, 1, 0, 0}}), true);
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(ReadLabelIndex(folder)->size(), 3U);
  const std::size_t first = log.find("label_index.not_locked");
  EXPECT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("label_index.not_locked", first + 1), std::string::npos) << log;
  EXPECT_NE(log.find((folder / kLabelIndexLock).string()), std::string::npos) << log;
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ferment::dataset
