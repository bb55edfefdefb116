// SPDX-License-Identifier: Apache-2.0
//
// Makes sure that what a program printed has arrived, before its exit code says so.
#pragma once

#include "common/base/status.h"

namespace ferment::io {

/// Hands over what std::cout and stdout still hold. Returns: success also where whoever read a pipe wants no more.
/// Errors: those of WriteErrno, of this or of an earlier write. Thread: any, once nobody prints any more.
Status FlushStandardOutput();

}  // namespace ferment::io
