// SPDX-License-Identifier: Apache-2.0
//
// Whether a file of certificates to trust is one, so that the one who named it hears of it before anything is asked.
#pragma once

#include <filesystem>

#include "common/base/status.h"

namespace ferment::io {

/// Returns: ok where TLS can take the file: PEM, each part of it readable, at least one certificate in it. Errors:
/// NotFound, PermissionDenied, InvalidArgument (64). No message has a word of the file.
Status CheckCaBundle(const std::filesystem::path& file);

}  // namespace ferment::io
