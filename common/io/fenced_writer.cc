// SPDX-License-Identifier: Apache-2.0
#include "common/io/fenced_writer.h"

#include <utility>

namespace ferment::io {

Result<AtomicFile> FencedWriter::Begin(const std::filesystem::path& path, const Fence& fence) {
  if (!taken_over_.contains(path)) {
    FERMENT_RETURN_IF_ERROR(fence());
    FERMENT_RETURN_IF_ERROR(RemoveTemporariesOf(path));
    taken_over_.insert(path);
  }
  return AtomicFile::Create(path);
}

Status FencedWriter::Finish(AtomicFile file, const Fence& fence) {
  Status status = file.Appear(fence);
  if (!status.ok()) FERMENT_RETURN_IF_ERROR(fence());
  return status;
}

Status FencedWriter::Write(const std::filesystem::path& path, std::string_view text, const Fence& fence) {
  FERMENT_ASSIGN_OR_RETURN(AtomicFile file, Begin(path, fence));
  FERMENT_RETURN_IF_ERROR(file.Append(text));
  return Finish(std::move(file), fence);
}

}  // namespace ferment::io
