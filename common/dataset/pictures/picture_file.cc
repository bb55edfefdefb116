// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/picture_file.h"

#include <cerrno>
#include <cstdio>

#include "common/io/errno_status.h"

namespace ferment::dataset {

Status WritePicture(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return io::WriteErrno(errno, "creating", path);
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int error = errno;
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed) return io::WriteErrno(written ? errno : error, "writing", path);
  return {};
}

}  // namespace ferment::dataset
