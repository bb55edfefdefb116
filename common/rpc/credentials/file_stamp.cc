// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/file_stamp.h"

#include <sys/stat.h>

namespace ferment::rpc {

FileStamp StampOf(const std::filesystem::path& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return {};
  return {status.st_mtim.tv_sec, status.st_mtim.tv_nsec, static_cast<std::uint64_t>(status.st_size), status.st_ino};
}

}  // namespace ferment::rpc
