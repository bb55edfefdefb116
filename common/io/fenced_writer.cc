// SPDX-License-Identifier: Apache-2.0
#include "common/io/fenced_writer.h"

#include "common/base/result.h"
#include "common/io/atomic_file.h"

namespace ferment::io {

Status FencedWriter::Write(const std::filesystem::path& path, std::string_view text, const Fence& fence) {
  if (!taken_over_.contains(path)) {
    FERMENT_RETURN_IF_ERROR(fence());
    FERMENT_RETURN_IF_ERROR(RemoveTemporariesOf(path));
    taken_over_.insert(path);
  }
  Status status = WriteFileAtomically(path, text, fence);
  if (!status.ok()) FERMENT_RETURN_IF_ERROR(fence());
  return status;
}

}  // namespace ferment::io
