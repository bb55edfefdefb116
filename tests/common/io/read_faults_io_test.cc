// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>

#include "common/io/atomic_file.h"
#include "common/io/byte_source.h"
#include "common/io/checksum.h"
#include "common/io/formats/npz_file.h"
#include "common/io/formats/safetensors_file.h"
#include "common/io/formats/torch_file.h"
#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

/// Called in place of pread on this thread; empty: the kernel.
thread_local std::function<ssize_t(int, void*, std::size_t, off_t)> read_hook;

ssize_t KernelRead(int file, void* bytes, std::size_t count, off_t offset) {
  return ::syscall(SYS_pread64, file, bytes, count, offset);
}

class ReadFaultsIo : public ::testing::Test {
 protected:
  ReadFaultsIo() { Write(text_); }
  ~ReadFaultsIo() override {
    read_hook = nullptr;
    std::filesystem::remove(file_);
  }
  void Write(const std::string& text) const { std::ofstream(file_, std::ios::binary) << text; }

  std::filesystem::path file_ =
      std::filesystem::path(::testing::TempDir()) / ("read-faults-" + std::to_string(::getpid()));
  std::string text_ = [] {
    std::string text(700'000, ' ');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
    return text;
  }();
};

// As on a disk that fails. A mapping of it would end the process.
TEST_F(ReadFaultsIo, WhatCannotBeReadIsAnErrorThatNamesTheFileAndTheReason) {
  const auto read = ReadFile("/proc/self/mem");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), StatusCode::kUnavailable);
  EXPECT_EQ(ProcessExitCode(read.error()), exit_code::kBadData);
  EXPECT_EQ(read.error().message(), "cannot read: path=/proc/self/mem: Input/output error");
}

TEST_F(ReadFaultsIo, ADiskThatFailsBehindTheFirstPieceIsAnErrorToo) {
  read_hook = [calls = 0](int file, void* bytes, std::size_t count, off_t offset) mutable -> ssize_t {
    if (++calls == 1) return KernelRead(file, bytes, count, offset);
    errno = EIO;
    return -1;
  };
  const auto read = ReadTextFile(file_);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message(), "cannot read: path=" + file_.string() + ": Input/output error");
}

TEST_F(ReadFaultsIo, AFileOfProcIsReadAlthoughItHasNoSize) {
  ASSERT_EQ(std::filesystem::file_size("/proc/self/status"), 0U);
  const auto read = ReadTextFile("/proc/self/status");
  ASSERT_TRUE(read);
  EXPECT_NE(read->find("Pid:\t" + std::to_string(::getpid()) + "\n"), std::string::npos);
}

TEST_F(ReadFaultsIo, SignalsAndShortReadsChangeNothing) {
  read_hook = [calls = 0](int file, void* bytes, std::size_t count, off_t offset) mutable -> ssize_t {
    if (++calls % 3 == 0) {
      errno = EINTR;
      return -1;
    }
    return KernelRead(file, bytes, std::min<std::size_t>(count, 9'973), offset);
  };
  EXPECT_EQ(*ReadTextFile(file_), text_);
  const auto bytes = *ReadFile(file_);
  EXPECT_TRUE(std::ranges::equal(bytes, std::as_bytes(std::span(text_))));
  const auto range = *MakeLocalFileSystem()->ReadRange(file_, 1'000, 600'000);
  EXPECT_TRUE(std::ranges::equal(range, std::as_bytes(std::span(text_)).subspan(1'000, 600'000)));
}

TEST_F(ReadFaultsIo, AFileThatIsShortenedMeanwhileIsAnError) {
  read_hook = [this](int file, void* bytes, std::size_t count, off_t offset) {
    std::filesystem::resize_file(file_, 300'000);
    return KernelRead(file, bytes, count, offset);
  };
  const auto read = ReadFile(file_);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message(),
            "the file was shortened while it was read: path=" + file_.string() + " bytes=300000 expected=700000");
  EXPECT_EQ(ProcessExitCode(read.error()), exit_code::kBadData);
}

TEST_F(ReadFaultsIo, OfAFileThatGrowsMeanwhileThereIsWhatItHadWhenItWasOpened) {
  read_hook = [this](int file, void* bytes, std::size_t count, off_t offset) {
    std::ofstream(file_, std::ios::binary | std::ios::app) << text_;
    return KernelRead(file, bytes, count, offset);
  };
  EXPECT_EQ(*ReadTextFile(file_), text_);
}

// A pack is read piece by piece for as long as a job lasts, and so are networks and label sets.
TEST_F(ReadFaultsIo, ASourceADigestAndAnArrayHaveAnErrorTooWhereTheDiskFails) {
  const auto source = OpenFileBytes(file_);
  ASSERT_TRUE(source);
  EXPECT_TRUE(
      std::ranges::equal((*source)->View(500'000, 9)->bytes, std::as_bytes(std::span(text_)).subspan(500'000, 9)));
  EXPECT_EQ(*Sha256OfFile(file_), Sha256Hex(text_));
  read_hook = [](int, void*, std::size_t, off_t) -> ssize_t {
    errno = EIO;
    return -1;
  };
  const std::string said = "cannot read: path=" + file_.string() + ": Input/output error";
  EXPECT_EQ((*source)->View(500'000, 9).error().message(), said);
  EXPECT_EQ(Sha256OfFile(file_).error().message(), said);
  EXPECT_EQ(ReadNpz(file_).error().message(), said);
  EXPECT_EQ(SafetensorsFile::Open(file_).error().message(), said);
  EXPECT_EQ(ReadWeights(file_).error().message(), said);
}

TEST_F(ReadFaultsIo, ASourceThatIsShortenedMeanwhileIsAnError) {
  const auto source = OpenFileBytes(file_);
  std::filesystem::resize_file(file_, 300'000);
  EXPECT_EQ((*source)->View(500'000, 9).error().message(),
            "the file was shortened while it was read: path=" + file_.string() + " bytes=500000 expected=700000");
}

TEST_F(ReadFaultsIo, ASourceKeepsTheFileThatItOpened) {
  const auto source = OpenFileBytes(file_);
  ASSERT_TRUE(WriteFileAtomically(file_, std::string_view("new")).ok());
  EXPECT_EQ((*source)->size(), text_.size());
  EXPECT_TRUE(std::ranges::equal((*source)->View(0, text_.size())->bytes, std::as_bytes(std::span(text_))));
}

TEST_F(ReadFaultsIo, APipeIsRefusedAndNotWaitedFor) {
  std::filesystem::remove(file_);
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(file_).error().code(), StatusCode::kUnavailable);
}

TEST_F(ReadFaultsIo, AnEmptyFileIsEmptyAndAFolderIsNone) {
  Write("");
  EXPECT_EQ(*ReadTextFile(file_), "");
  const auto folder = ReadTextFile(::testing::TempDir());
  ASSERT_FALSE(folder);
  EXPECT_NE(folder.error().message().find("Is a directory"), std::string_view::npos) << folder.error().message();
}

}  // namespace
}  // namespace ferment::io

// In place of the C library's, in this program alone.
extern "C" ssize_t pread(int file, void* bytes, std::size_t count, off_t offset) {
  using ferment::io::read_hook;
  return read_hook ? read_hook(file, bytes, count, offset) : ferment::io::KernelRead(file, bytes, count, offset);
}
