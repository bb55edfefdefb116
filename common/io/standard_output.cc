// SPDX-License-Identifier: Apache-2.0
#include "common/io/standard_output.h"

#include <cerrno>
#include <cstdio>
#include <iostream>

#include "common/io/errno_status.h"

namespace ferment::io {

Status FlushStandardOutput() {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  const int error = errno;
  if ((flushed && std::cout.good() && std::ferror(stdout) == 0) || error == EPIPE) return {};
  // An earlier write's reason is gone.
  return WriteErrno(error == 0 ? EIO : error, "what was printed is not complete", "standard output");
}

}  // namespace ferment::io
