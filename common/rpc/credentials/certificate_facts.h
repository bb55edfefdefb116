// SPDX-License-Identifier: Apache-2.0
//
// What a certificate says: whose it is, where it may serve, how long it is good.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace ferment::rpc {

struct CertificateFacts {
  /// The one URI among its names; empty where it has none or several.
  std::string uri;
  /// DNS names and IP addresses.
  std::vector<std::string> hosts;
  WallTime expires;
  /// In hex; no two certificates of an authority have the same.
  std::string serial;
};

/// Of the first certificate in a PEM text. Errors: InvalidArgument without a word of the text.
Result<CertificateFacts> ReadCertificateFacts(std::string_view pem);

}  // namespace ferment::rpc
