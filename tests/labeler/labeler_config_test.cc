// SPDX-License-Identifier: Apache-2.0
#include "labeler/labeler_config.h"

#include <gtest/gtest.h>

namespace ferment::labeler {
namespace {

LabelerConfig Named(const std::string& name) {
  LabelerConfig config;
  config.coordinator = "127.0.0.1:50400";
  config.name = name;
  return config;
}

TEST(LabelerConfig, ANameIsShortAndUtf8) {
  EXPECT_TRUE(Check(Named("")).ok());
  EXPECT_TRUE(Check(Named(std::string(128, 'a'))).ok());
  EXPECT_TRUE(Check(Named("spot-7 \xC3\xA4")).ok());
  for (const std::string& name : {std::string("\xFF\xFE"), std::string(129, 'a')}) {
    EXPECT_EQ(ProcessExitCode(Check(Named(name))), exit_code::kUsage) << name;
    LabelerConfig config = Named("");
    config.host = name;
    EXPECT_EQ(ProcessExitCode(Check(config)), exit_code::kUsage) << name;
  }
}

TEST(LabelerConfig, PicturesAreForPredictionsAlone) {
  LabelerConfig config = Named("");
  config.prediction.paths = {"run"};
  EXPECT_EQ(ProcessExitCode(Check(config)), exit_code::kUsage);
}

}  // namespace
}  // namespace ferment::labeler
