// SPDX-License-Identifier: Apache-2.0
//
// Turns what the kernel says into a Status with the right process exit code.
#pragma once

#include <filesystem>
#include <string_view>

#include "common/base/status.h"

namespace ferment::io {

/// Returns: a failure such as "cannot open: path=x: No such file or directory" for a file that is read.
/// Codes: NotFound (65), PermissionDenied (77), Unavailable (65) for the rest.
Status ReadErrno(int error, std::string_view what, const std::filesystem::path& path);

/// Returns: the same for a file that is written. Codes: PermissionDenied or NotFound with exit code 73 (no permission,
/// no parent folder, read-only disk), ResourceExhausted with 204 (no space), Unavailable with 204 (the disk failed).
Status WriteErrno(int error, std::string_view what, const std::filesystem::path& path);

/// Returns: the same failure without this path in its message. A picture's path may be a person's name, and messages
/// end up in logs; which one it was is told by its place in the list.
Status WithoutPath(const Status& failure, const std::filesystem::path& path);

}  // namespace ferment::io
