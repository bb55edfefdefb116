// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_settings.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "tests/support/test_certificates.h"

namespace ferment::io {
namespace {

constexpr const char* kVariables[] = {"AWS_ENDPOINT_URL_S3",   "AWS_ENDPOINT_URL",  "AWS_REGION",
                                      "AWS_DEFAULT_REGION",    "AWS_PROFILE",       "AWS_CA_BUNDLE",
                                      "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "FERMENT_S3_ADDRESSING",
                                      "FERMENT_S3_INSECURE"};

class S3SettingsTest : public ::testing::Test {
 protected:
  S3SettingsTest() {
    for (const char* variable : kVariables) unsetenv(variable);
    setenv("AWS_SHARED_CREDENTIALS_FILE", file_.c_str(), 1);
    Write(
        "# a comment\n[other]\naws_access_key_id = AO\naws_secret_access_key = SO\nregion=eu-west-3\n"
        "endpoint_url = https://minio.lab:9000/\n\n[default]\r\naws_access_key_id=AK\r\naws_secret_access_key = a=b/c+ "
        "\r\n");
  }
  ~S3SettingsTest() override { unsetenv("AWS_SHARED_CREDENTIALS_FILE"); }
  void Write(const std::string& text) { std::ofstream(file_, std::ios::binary) << text; }

  const std::filesystem::path file_ = std::filesystem::path(::testing::TempDir()) / "s3-credentials";
};

TEST_F(S3SettingsTest, AKeyIsReadFromItsSection) {
  EXPECT_EQ(*ReadS3Credentials(file_, "default"), (S3Credentials{"AK", "a=b/c+", ""}));
  EXPECT_EQ(ReadS3Credentials(file_, "other")->secret_key, "SO");
}

TEST_F(S3SettingsTest, WhatIsMissingIsNamedWithoutAWordOfTheFile) {
  setenv("AWS_SECRET_ACCESS_KEY", "fromenv", 1);
  for (const char* profile : {"none", "half"}) {
    Write("[half]\naws_secret_access_key = topsecret\n");
    const auto credentials = ReadS3Credentials(file_, profile);
    ASSERT_FALSE(credentials);
    const std::string message(credentials.error().message());
    EXPECT_NE(message.find(file_.string()), std::string::npos) << message;
    EXPECT_NE(message.find(profile), std::string::npos) << message;
    EXPECT_EQ(message.find("topsecret"), std::string::npos) << message;
    EXPECT_EQ(message.find("fromenv"), std::string::npos) << message;
  }
  EXPECT_EQ(ReadS3Credentials("/nowhere/credentials", "default").error().code(), StatusCode::kNotFound);
}

TEST_F(S3SettingsTest, WithoutAnEndpointItIsAmazonByHostName) {
  setenv("AWS_DEFAULT_REGION", "eu-north-1", 1);
  const auto settings = S3SettingsFromEnvironment();
  ASSERT_TRUE(settings) << settings.error().ToString();
  EXPECT_EQ(settings->endpoint, "https://s3.eu-north-1.amazonaws.com");
  EXPECT_EQ(settings->addressing, S3Addressing::kVirtualHost);
}

TEST_F(S3SettingsTest, AProfileMayHoldEndpointAndRegionAndTheEnvironmentWins) {
  setenv("AWS_PROFILE", "other", 1);
  auto settings = S3SettingsFromEnvironment();
  ASSERT_TRUE(settings) << settings.error().ToString();
  EXPECT_EQ(settings->endpoint, "https://minio.lab:9000");
  EXPECT_EQ(settings->region, "eu-west-3");
  EXPECT_EQ(settings->addressing, S3Addressing::kPath);
  setenv("AWS_REGION", "lab", 1);
  setenv("AWS_ENDPOINT_URL", "https://ceph.lab", 1);
  setenv("FERMENT_S3_ADDRESSING", "virtual", 1);
  settings = S3SettingsFromEnvironment();
  EXPECT_EQ(settings->endpoint, "https://ceph.lab");
  EXPECT_EQ(settings->region, "lab");
  EXPECT_EQ(settings->addressing, S3Addressing::kVirtualHost);
  setenv("AWS_ENDPOINT_URL_S3", "https://first.lab", 1);
  EXPECT_EQ(S3SettingsFromEnvironment()->endpoint, "https://first.lab");
}

TEST_F(S3SettingsTest, WithoutTlsOnlyThisMachineIsAsked) {
  for (const char* endpoint : {"http://127.0.0.1:9000", "http://localhost", "http://[::1]:9000"}) {
    setenv("AWS_ENDPOINT_URL", endpoint, 1);
    EXPECT_TRUE(S3SettingsFromEnvironment()) << endpoint;
  }
  for (const char* endpoint : {"http://minio.lab:9000", "http://localhost.evil.com", "http://10.0.0.1"}) {
    setenv("AWS_ENDPOINT_URL", endpoint, 1);
    unsetenv("FERMENT_S3_INSECURE");
    const auto settings = S3SettingsFromEnvironment();
    ASSERT_FALSE(settings) << endpoint;
    EXPECT_EQ(ProcessExitCode(settings.error()), exit_code::kBadSpec);
    setenv("FERMENT_S3_INSECURE", "true", 1);
    EXPECT_TRUE(S3SettingsFromEnvironment()) << endpoint;
  }
}

TEST_F(S3SettingsTest, ValuesOutOfRangeAreRefused) {
  for (const char* endpoint : {"minio.lab:9000", "ftp://x", "https://", "https://x/path", "https://user:pw@x"}) {
    setenv("AWS_ENDPOINT_URL", endpoint, 1);
    EXPECT_FALSE(S3SettingsFromEnvironment()) << endpoint;
  }
  setenv("AWS_ENDPOINT_URL", "https://x", 1);
  setenv("FERMENT_S3_ADDRESSING", "dns", 1);
  EXPECT_FALSE(S3SettingsFromEnvironment());
  unsetenv("FERMENT_S3_ADDRESSING");
  setenv("FERMENT_S3_INSECURE", "yes", 1);
  EXPECT_FALSE(S3SettingsFromEnvironment());
}

TEST_F(S3SettingsTest, AFileThatHoldsNoCertificatesToTrustIsNamed) {
  const std::filesystem::path bundle = std::filesystem::path(::testing::TempDir()) / "bundle.pem";
  setenv("AWS_CA_BUNDLE", bundle.c_str(), 1);
  std::filesystem::remove(bundle);
  const auto missing = S3SettingsFromEnvironment();
  ASSERT_FALSE(missing);
  EXPECT_EQ(ProcessExitCode(missing.error()), exit_code::kBadData);
  EXPECT_NE(missing.error().message().find("AWS_CA_BUNDLE"), std::string::npos) << missing.error().ToString();
  EXPECT_NE(missing.error().message().find(bundle.string()), std::string::npos) << missing.error().ToString();

  const auto authority = rpc::MakeAuthority("lab", testing::FromHours(-1, 24));
  ASSERT_TRUE(authority) << authority.error().ToString();
  const std::string& certificate = authority->certificate;
  for (const std::string& text : {std::string(), std::string("topsecret"), authority->private_key,
                                  certificate + certificate.substr(0, certificate.size() / 2)}) {
    std::ofstream(bundle) << text;
    const auto settings = S3SettingsFromEnvironment();
    ASSERT_FALSE(settings) << text;
    EXPECT_EQ(ProcessExitCode(settings.error()), exit_code::kBadSpec);
    const std::string message(settings.error().message());
    EXPECT_NE(message.find("AWS_CA_BUNDLE=" + bundle.string()), std::string::npos) << message;
    EXPECT_EQ(message.find("topsecret"), std::string::npos) << message;
  }
  std::ofstream(bundle) << "# the lab's\n" << certificate << certificate;
  const auto settings = S3SettingsFromEnvironment();
  ASSERT_TRUE(settings) << settings.error().ToString();
  EXPECT_EQ(settings->ca_bundle, bundle);
  unsetenv("AWS_CA_BUNDLE");
}

}  // namespace
}  // namespace ferment::io
