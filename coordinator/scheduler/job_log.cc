// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/job_log.h"

#include <fstream>

namespace ferment::coordinator {
namespace {

constexpr std::size_t kPieceBytes = 64 << 10;

}  // namespace

Result<std::string> ReadJobLog(const std::filesystem::path& file, std::uint64_t offset) {
  std::error_code missing;
  if (!std::filesystem::exists(file, missing)) return std::string();
  std::ifstream in(file, std::ios::binary);
  if (!in) return Fail(PermissionDeniedError("the log cannot be read: file=" + file.string()));
  in.seekg(static_cast<std::streamoff>(offset));
  std::string piece(kPieceBytes, '\0');
  in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
  piece.resize(static_cast<std::size_t>(in.gcount()));
  return piece;
}

}  // namespace ferment::coordinator
