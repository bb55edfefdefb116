// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this program share: one server, and folders put into it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "common/io/object/s3_object_store.h"
#include "tests/support/memory_object_store.h"
#include "tests/support/object_gateway.h"

namespace ferment::testing {

/// One server for all tests of this program.
inline ObjectGateway* Gateway() {
  static const std::unique_ptr<ObjectGateway> gateway = ObjectGateway::Start();
  return gateway.get();
}

inline std::string ReadText(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

inline void WriteText(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
}

class ObjectGatewayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Gateway() == nullptr) GTEST_SKIP() << "it starts Ceph's radosgw: make test-s3";
    for (const auto& [name, value] : Gateway()->Environment()) setenv(name.c_str(), value.c_str(), 1);
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }

  std::unique_ptr<io::ObjectStore> Open(const io::S3Settings& settings, const std::string& bucket,
                                        const Clock& clock = SystemClock()) {
    return *io::OpenS3Bucket(settings, bucket, clock);
  }
  /// Returns: settings with another key.
  io::S3Settings With(const std::string& access, const std::string& secret) {
    io::S3Settings settings = Gateway()->Settings();
    settings.credentials_file = folder_ / "other";
    WriteText(settings.credentials_file,
              "[default]\naws_access_key_id=" + access + "\naws_secret_access_key=" + secret);
    return settings;
  }
  /// Puts a folder's files into a new bucket. Returns: their folder's URL.
  std::string Upload(const std::filesystem::path& from) {
    const std::string bucket = Gateway()->FreshBucket();
    const auto store = Open(Gateway()->Settings(), bucket);
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
      const Status put = store->PutIfAbsent("packs/fr/" + entry.path().filename().string(), BytesOf(ReadText(entry)));
      EXPECT_TRUE(put.ok()) << put.ToString();
    }
    return "s3://" + bucket + "/packs/fr/";
  }

  const std::filesystem::path folder_ = std::filesystem::path(::testing::TempDir()) / "gateway";
};

}  // namespace ferment::testing
