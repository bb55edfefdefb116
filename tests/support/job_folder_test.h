// SPDX-License-Identifier: Apache-2.0
//
// A folder of its own and the least spec there is, for tests that run jobs of a scripted recipe.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/config/spec_loader.h"

namespace ferment::testing {

/// The folder is gone afterwards.
class JobFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string(info->test_suite_name()) + "-" + info->name() + "-" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "spec.yaml") << "apiVersion: ferment/v1\nname: loop\n";
    auto loaded = LoadSpec(folder_ / "spec.yaml");
    ASSERT_TRUE(loaded) << loaded.error().ToString();
    spec_ = loaded->spec;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  RunSpec spec_;
};

}  // namespace ferment::testing
