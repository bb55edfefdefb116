// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "cli/command.h"
#include "common/base/json.h"
#include "common/io/checksum.h"
#include "common/io/formats/safetensors_file.h"
#include "common/io/formats/weights_import.h"

namespace ferment::cli {
namespace {

using ::testing::HasSubstr;

class ImportWeightsCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove(out_);
    io::NamedTensorViews views;
    for (io::BackboneTensor tensor : io::BackboneTensors("resnet18", 2)) {
      std::int64_t count = 1;
      for (std::int64_t& extent : tensor.shape) count *= (extent = extent < 0 ? 1000 : extent);
      const bool counter = tensor.shape.empty();
      data_.emplace_back(static_cast<std::size_t>(count * (counter ? 8 : 4)));
      views.emplace_back("module." + tensor.name, io::TensorView{counter ? "I64" : "F32", tensor.shape, data_.back()});
    }
    ASSERT_TRUE(io::WriteSafetensors(source_, views).ok());
  }

  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), {"ferment", "import-weights"});
    std::vector<const char*> line;
    for (const std::string& word : words) line.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(line.size()), line.data());
    stdout_ = ::testing::internal::GetCapturedStdout();
    stderr_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  const std::string source_ = ::testing::TempDir() + "/import_source.safetensors";
  const std::string out_ = ::testing::TempDir() + "/import_out.safetensors";
  std::string stdout_, stderr_;
  std::vector<std::vector<std::byte>> data_;
};

TEST_F(ImportWeightsCommandTest, WritesWhatModelInitTakesAndSaysWhatItTook) {
  ASSERT_EQ(Run({source_, "--out", out_}), exit_code::kOk) << stderr_;
  EXPECT_THAT(stdout_, HasSubstr("resnet18 of width 2"));
  EXPECT_THAT(stdout_, HasSubstr("head: 1000 classes"));
  EXPECT_THAT(stdout_, HasSubstr(*io::Sha256OfFile(out_)));
  const auto written = io::SafetensorsFile::Open(out_);
  ASSERT_TRUE(written);
  EXPECT_EQ(written->metadata().at("backbone"), "resnet18");
  EXPECT_EQ(written->tensors().front().first, "conv1.weight");
}

TEST_F(ImportWeightsCommandTest, SpeaksJson) {
  ASSERT_EQ(Run({source_, "--out", out_, "--json"}), exit_code::kOk) << stderr_;
  const auto json = ParseJson(stdout_);
  ASSERT_TRUE(json) << stdout_;
  EXPECT_EQ(json->at("width"), 2);
  EXPECT_EQ(json->at("sha256"), *io::Sha256OfFile(out_));
}

TEST_F(ImportWeightsCommandTest, LeavesWith65AndWritesNothingForAMaliciousFile) {
  for (const char* name : {"evil_os_system.pt", "evil_eval.pt", "evil_legacy.pt", "whole_module.pt", "truncated.pt",
                           "plain_evil.pkl", "no_such_file.pt"}) {
    EXPECT_EQ(Run({std::string(FERMENT_FIXTURES) + "/torch/" + name, "--out", out_}), exit_code::kBadData) << name;
    EXPECT_THAT(stderr_, HasSubstr(name));
    EXPECT_FALSE(std::filesystem::exists(out_));
  }
}

TEST_F(ImportWeightsCommandTest, LeavesWith73WhereItCannotWrite) {
  EXPECT_EQ(Run({source_, "--out", ::testing::TempDir() + "/no/such/folder/x.safetensors"}), exit_code::kCannotWrite);
}

}  // namespace
}  // namespace ferment::cli
