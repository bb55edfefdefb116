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

TEST(LabelerConfig, ALabelStoreThatIsNoneIsWrongUsageAsTheCoordinatorSays) {
  LabelerConfig config;
  config.offline = true;
  config.run_dir = "run";
  config.label_store = "s3://labels/here";
  EXPECT_TRUE(Check(config).ok());
  config.label_store = "/mnt/labels";
  const Status wrong = Check(config);
  EXPECT_EQ(ProcessExitCode(wrong), exit_code::kUsage);
  EXPECT_NE(wrong.message().find("--label-store"), std::string::npos) << wrong.message();
  EXPECT_NE(wrong.message().find("/mnt/labels"), std::string::npos) << wrong.message();
}

TEST(LabelerConfig, IsToldALineAFlag) {
  LabelerConfig config = Named("spot-7");
  config.credentials.token_file = "/etc/token";
  const std::string told = Describe(config);
  for (const char* line : {"coordinator = 127.0.0.1:50400\n", "\nname = spot-7\n", "\nthreads = 0\n",
                           "\ndevice = auto\n", "\noffline = false\n", "\ntoken-file = /etc/token\n"}) {
    EXPECT_NE(told.find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace ferment::labeler
