// SPDX-License-Identifier: Apache-2.0
//
// What `ferment dev-certs` remembers of the certificates that it has issued, so that one can be revoked whose folder
// has a newer one by now.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::cli {

/// A folder with a file SERIAL.crt for each certificate, as `openssl ca` keeps them.
class IssuedCertificates {
 public:
  explicit IssuedCertificates(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Errors: InvalidArgument (not a certificate), those of io::WriteErrno.
  Status Remember(const std::string& certificate) const;
  /// Returns: in PEM, those of `who`, which is ROLE or ROLE/NAME, that have not expired. Errors: InvalidArgument naming
  /// the file that is not a certificate.
  Result<std::vector<std::string>> Of(const std::string& who) const;
  /// Forgets those that have expired: nobody takes them any more.
  void Prune() const;

 private:
  const std::filesystem::path folder_;
};

}  // namespace ferment::cli
