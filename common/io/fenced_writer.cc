// SPDX-License-Identifier: Apache-2.0
#include "common/io/fenced_writer.h"

#include <utility>

namespace ferment::io {
namespace {

/// A later writer removes what this one has begun. Returns: the fence's failure; else `failure`.
Status UnlessFenced(Status failure, const Fence& fence) {
  FERMENT_RETURN_IF_ERROR(fence());
  return failure;
}

}  // namespace

Result<AtomicFile> FencedWriter::Begin(const std::filesystem::path& path, const Fence& fence) {
  if (!taken_over_.contains(path)) {
    FERMENT_RETURN_IF_ERROR(fence());
    if (Status status = RemoveTemporariesOf(path); !status.ok()) return Fail(UnlessFenced(std::move(status), fence));
    taken_over_.insert(path);
  }
  auto file = AtomicFile::Create(path);
  if (!file) return Fail(UnlessFenced(file.error(), fence));
  return file;
}

Status FencedWriter::Finish(AtomicFile file, const Fence& fence) {
  Status status = file.Appear(fence);
  return status.ok() ? status : UnlessFenced(std::move(status), fence);
}

Status FencedWriter::Write(const std::filesystem::path& path, std::string_view text, const Fence& fence) {
  FERMENT_ASSIGN_OR_RETURN(AtomicFile file, Begin(path, fence));
  if (Status status = file.Append(text); !status.ok()) return UnlessFenced(std::move(status), fence);
  return Finish(std::move(file), fence);
}

}  // namespace ferment::io
