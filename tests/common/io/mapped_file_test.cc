// SPDX-License-Identifier: Apache-2.0
#include "common/io/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/io/atomic_file.h"

namespace ferment::io {
namespace {

TEST(MappedFile, HoldsTheBytesAfterAMoveAndAfterTheFileIsReplaced) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "mapped";
  ASSERT_TRUE(WriteFileAtomically(path, std::string_view("old")).ok());
  auto opened = MappedFile::Open(path);
  ASSERT_TRUE(opened.has_value());
  const MappedFile file = *std::move(opened);
  ASSERT_TRUE(WriteFileAtomically(path, std::string_view("new content")).ok());
  ASSERT_EQ(file.bytes().size(), 3U);
  EXPECT_EQ(file.bytes()[0], std::byte{'o'});
}

TEST(MappedFile, AnEmptyFileIsEmpty) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "mapped_empty";
  ASSERT_TRUE(WriteFileAtomically(path, std::string_view()).ok());
  EXPECT_TRUE(MappedFile::Open(path)->bytes().empty());
}

TEST(MappedFile, APipeIsRefusedAndNotWaitedFor) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "mapped_pipe";
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(MappedFile::Open(path).has_value());
}

TEST(MappedFile, AFolderAndNothingAreRefused) {
  EXPECT_FALSE(MappedFile::Open(::testing::TempDir()).has_value());
  EXPECT_EQ(MappedFile::Open("/nonexistent/file").error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ferment::io
