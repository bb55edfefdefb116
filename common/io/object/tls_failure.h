// SPDX-License-Identifier: Apache-2.0
//
// Why TLS refused a server, told so that a person can mend it, and apart from what mends itself.
#pragma once

#include <filesystem>
#include <string>

#include "common/base/status.h"

namespace ferment::io {

/// `verify_result` is a number of <openssl/x509_vfy.h>; where it is the name that does not fit, libcurl gives 0 or 1.
/// `text` is libcurl's, here and below. Returns: PermissionDenied.
Status CertificateFailure(long verify_result, const std::string& text, const std::filesystem::path& ca_bundle);

/// Returns: InvalidArgument where the server speaks no TLS, PermissionDenied where it speaks none that is safe enough,
/// Unavailable for all else, such as a server that hung up.
Status HandshakeFailure(const std::string& text);

}  // namespace ferment::io
