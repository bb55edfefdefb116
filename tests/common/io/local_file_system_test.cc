// SPDX-License-Identifier: Apache-2.0
#include "common/io/local_file_system.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ferment::io {
namespace {

class LocalFileSystem : public ::testing::Test {
 protected:
  LocalFileSystem() { std::filesystem::remove_all(root_); }

  std::filesystem::path root_ = std::filesystem::path(::testing::TempDir()) / ("files" + std::to_string(::getpid()));
  std::unique_ptr<FileSystem> files_ = MakeLocalFileSystem();
};

std::vector<std::byte> Bytes(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

TEST_F(LocalFileSystem, ReadsBackWhatItWroteBelowFoldersThatItMade) {
  ASSERT_TRUE(files_->Write(root_ / "a" / "b", Bytes("hello")).ok());
  EXPECT_EQ(*files_->Read(root_ / "a" / "b"), Bytes("hello"));
  EXPECT_EQ(*files_->ReadRange(root_ / "a" / "b", 1, 3), Bytes("ell"));
  EXPECT_EQ(*files_->Size(root_ / "a" / "b"), 5U);
}

TEST_F(LocalFileSystem, ARangePastTheEndIsRefused) {
  ASSERT_TRUE(files_->Write(root_ / "a", Bytes("hello")).ok());
  EXPECT_EQ(files_->ReadRange(root_ / "a", 3, 3).error().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(files_->ReadRange(root_ / "a", 6, 0).error().code(), StatusCode::kOutOfRange);
}

TEST_F(LocalFileSystem, ListsSortedWithoutWhatKilledWritersLeft) {
  for (const char* name : {"b", "a", "c"}) ASSERT_TRUE(files_->Write(root_ / name, Bytes("x")).ok());
  std::ofstream(root_ / ".a.1-0.ferment-tmp") << "half";
  EXPECT_EQ(*files_->List(root_), (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(LocalFileSystem, RemovingTwiceIsNoFailure) {
  ASSERT_TRUE(files_->Write(root_ / "a", Bytes("x")).ok());
  EXPECT_TRUE(files_->Remove(root_ / "a").ok());
  EXPECT_TRUE(files_->Remove(root_ / "a").ok());
}

TEST_F(LocalFileSystem, WhatIsMissingIsNamed) {
  const auto read = files_->Read(root_ / "none");
  EXPECT_EQ(read.error().code(), StatusCode::kNotFound);
  EXPECT_NE(read.error().message().find("none"), std::string_view::npos);
  EXPECT_EQ(ProcessExitCode(files_->List(root_ / "none").error()), exit_code::kBadData);
}

}  // namespace
}  // namespace ferment::io
