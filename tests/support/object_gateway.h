// SPDX-License-Identifier: Apache-2.0
//
// An S3 server of the test's own that checks signatures: Ceph's radosgw on a monitor and an OSD in memory, on loopback.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/io/object/s3_settings.h"
#include "tests/support/test_certificates.h"

namespace ferment::testing {

/// Takes a quarter of a minute to start, and is started anew, twice at most, where it does not; 100 MB of memory. Ends
/// with the object.
class ObjectGateway {
 public:
  static bool Installed();
  /// Returns: nullptr where Ceph's ceph-mon, ceph-osd and radosgw are not installed.
  static std::unique_ptr<ObjectGateway> Start();
  ~ObjectGateway();
  ObjectGateway(const ObjectGateway&) = delete;
  ObjectGateway& operator=(const ObjectGateway&) = delete;

  /// Settings with the key of its user, and short pauses; without TLS and with it.
  io::S3Settings Settings() const;
  io::S3Settings TlsSettings() const;
  /// Returns: the name of a new, empty bucket.
  std::string FreshBucket();
  /// AWS_ variables for a program that is to use it, over TLS.
  std::vector<std::pair<std::string, std::string>> Environment() const;
  /// Stops it, as a machine that hangs; and lets it go on.
  void Pause();
  void Continue();

 private:
  explicit ObjectGateway(std::filesystem::path folder) : folder_(std::move(folder)) {}
  bool StartAll();

  const std::filesystem::path folder_;
  const TestCertificates certificates_{folder_ / "certificates"};
  int port_ = 0;
  int tls_port_ = 0;
  std::vector<pid_t> servers_;
  int buckets_ = 0;
};

}  // namespace ferment::testing
