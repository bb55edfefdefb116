// SPDX-License-Identifier: Apache-2.0
#include "common/io/fenced_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
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

Status Leads() { return {}; }
Status Fenced() { return AbortedError("another leads").WithExitCode(exit_code::kFenced); }

TEST(FencedWriter, WritesWhileItsFenceLetsItAndLeavesNoTemporary) {
  const auto folder = FreshFolder("fenced");
  FencedWriter writer;
  ASSERT_TRUE(writer.Write(folder / "index", "one", Leads).ok());
  ASSERT_TRUE(writer.Write(folder / "index", "two", Leads).ok());
  EXPECT_EQ(ProcessExitCode(writer.Write(folder / "index", "three", Fenced)), exit_code::kFenced);
  EXPECT_EQ(*ReadTextFile(folder / "index"), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(FencedWriter, OneThatWasStoppedBeforeItsRenameComesTooLateOnceAnotherHasWritten) {
  const auto folder = FreshFolder("late");
  FencedWriter former;
  FencedWriter latter;
  ASSERT_TRUE(former.Write(folder / "index", "old", Leads).ok());
  int asked = 0;
  const auto stopped_after_it_was_let_pass = [&] {
    if (++asked > 1) return Fenced();
    EXPECT_TRUE(latter.Write(folder / "index", "new", Leads).ok());
    return Status();
  };
  const Status status = former.Write(folder / "index", "older", stopped_after_it_was_let_pass);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kFenced) << status.ToString();
  EXPECT_EQ(*ReadTextFile(folder / "index"), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(FencedWriter, WhatFailsOnceAnotherIsTheWriterFailsAsTheFenceDoes) {
  const auto folder = FreshFolder("gone");
  FencedWriter writer;
  ASSERT_TRUE(writer.Write(folder / "index", "one", Leads).ok());
  std::filesystem::remove_all(folder);
  EXPECT_EQ(ProcessExitCode(writer.Write(folder / "index", "two", Fenced)), exit_code::kFenced);
  EXPECT_EQ(ProcessExitCode(writer.Begin(folder / "index", Fenced).error()), exit_code::kFenced);
  EXPECT_EQ(ProcessExitCode(writer.Write(folder / "index", "two", Leads)), exit_code::kCannotWrite);
}

TEST(FencedWriter, RemovesNothingOfOtherFiles) {
  const auto folder = FreshFolder("others");
  std::ofstream(folder / ".index.json.1-2.ferment-tmp") << "x";
  FencedWriter writer;
  ASSERT_TRUE(writer.Write(folder / "index", "one", Leads).ok());
  EXPECT_TRUE(std::filesystem::exists(folder / ".index.json.1-2.ferment-tmp"));
}

}  // namespace
}  // namespace ferment::io
