// SPDX-License-Identifier: Apache-2.0
#include "common/io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>

#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

std::filesystem::path FreshFolder(const std::string& name) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / (name + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

TEST(AtomicFile, ReplacesTheWholeFileAndLeavesNoTemporary) {
  const auto folder = FreshFolder("atomic");
  ASSERT_TRUE(WriteFileAtomically(folder / "a", std::string_view("first, and longer")).ok());
  ASSERT_TRUE(WriteFileAtomically(folder / "a", std::string_view("second")).ok());
  EXPECT_EQ(*ReadTextFile(folder / "a"), "second");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(AtomicFile, AMissingParentFolderIsExitCode73) {
  const Status status = WriteFileAtomically(FreshFolder("parent") / "missing" / "a", std::string_view("x"));
  EXPECT_EQ(ProcessExitCode(status), exit_code::kCannotWrite);
  EXPECT_NE(status.message().find("missing/a"), std::string_view::npos);
}

TEST(AtomicFile, ANameThatCannotBeIsExitCode73AndNoFailureOfTheDisk) {
  const auto folder = FreshFolder("names");
  std::filesystem::create_symlink(folder / "b", folder / "a");
  std::filesystem::create_symlink(folder / "a", folder / "b");
  for (const std::string& name : {std::string(300, 'l'), std::string("a/inside"), std::string("x\0y", 3)}) {
    const Status made = CreateFolders(folder / name / "run");
    const Status status = made.ok() ? WriteFileAtomically(folder / name / "run", std::string_view("x")) : made;
    EXPECT_EQ(ProcessExitCode(status), exit_code::kCannotWrite) << status.ToString();
    EXPECT_NE(status.code(), StatusCode::kUnavailable) << "which would end a coordinator";
  }
}

TEST(AtomicFile, AFullDiskIsExitCode204AndKeepsTheOldFile) {
  const auto folder = FreshFolder("full");
  ASSERT_TRUE(WriteFileAtomically(folder / "a", std::string_view("old")).ok());
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit tight = {64, before.rlim_max};
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const Status status = WriteFileAtomically(folder / "a", std::string(1000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kStorageFailed) << status.ToString();
  EXPECT_EQ(*ReadTextFile(folder / "a"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(AtomicFile, ADeviceOrAPipeIsNotReplaced) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "no-file";
  for (const mode_t kind : {S_IFIFO, S_IFSOCK}) {
    std::filesystem::remove(path);
    ASSERT_EQ(::mknod(path.c_str(), kind | 0600, 0), 0);
    const Status status = WriteFileAtomically(path, std::string_view("text"));
    EXPECT_EQ(ProcessExitCode(status), exit_code::kCannotWrite) << status.ToString();
    EXPECT_NE(status.message().find(path.string()), std::string_view::npos) << status.ToString();
    EXPECT_FALSE(std::filesystem::is_regular_file(path));
  }
  std::filesystem::remove(path);
  std::filesystem::create_symlink("elsewhere", path);
  EXPECT_TRUE(WriteFileAtomically(path, std::string_view("text")).ok()) << "a link's place is taken, as ever";
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

TEST(AtomicFile, RemovesTheTemporariesThatNobodyHasWrittenToForAWhile) {
  const auto folder = FreshFolder("abandoned");
  const auto old = AtomicFile::Create(folder / "old"), young = AtomicFile::Create(folder / "young");
  ASSERT_TRUE(old && young && WriteFileAtomically(folder / "whole", std::string_view("x")).ok());
  const auto before = std::filesystem::file_time_type::clock::now() - std::chrono::minutes(61);
  for (const auto& file : {old->temporary(), folder / "whole"}) std::filesystem::last_write_time(file, before);
  ASSERT_TRUE(RemoveTemporariesIn(folder, std::chrono::hours(1)).ok());
  EXPECT_FALSE(std::filesystem::exists(old->temporary()));
  EXPECT_TRUE(std::filesystem::exists(young->temporary()) && std::filesystem::exists(folder / "whole"));
  ASSERT_TRUE(RemoveTemporariesIn(folder).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(AtomicFile, KnowsTheNamesOfItsTemporaries) {
  EXPECT_TRUE(IsTemporaryName(".a.12-0.ferment-tmp"));
  EXPECT_FALSE(IsTemporaryName("a.npz"));
}

}  // namespace
}  // namespace ferment::io
