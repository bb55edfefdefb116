// SPDX-License-Identifier: Apache-2.0
//
// Replaces files that a later writer may have taken over meanwhile, however long this process was stopped.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string_view>

#include "common/base/result.h"
#include "common/io/atomic_file.h"

namespace ferment::io {

/// Fails once another process is the writer, and from then on.
using Fence = std::function<Status()>;

/// Writes as WriteFileAtomically does, and asks the fence between the temporary file and its rename. The later writer's
/// first write of a path removes the temporary files of others: one that was let pass before the turn has renamed
/// already, or finds nothing to rename.
///
/// Needs writers that see each other's unlink, as on a local disk and on NFS. Thread: one at a time.
class FencedWriter {
 public:
  /// Errors: the fence's, which is asked whatever failed; else those of io::WriteFileAtomically. The old file, or the
  /// later writer's, stays.
  Status Write(const std::filesystem::path& path, std::string_view text, const Fence& fence);

  /// The same for what is written in pieces, over a longer time: Begin, AtomicFile::Append, Finish. Errors: as Write.
  Result<AtomicFile> Begin(const std::filesystem::path& path, const Fence& fence);
  static Status Finish(AtomicFile file, const Fence& fence);

 private:
  std::set<std::filesystem::path> taken_over_;
};

}  // namespace ferment::io
