// SPDX-License-Identifier: Apache-2.0
#include "common/io/write_probe.h"

#include "common/io/atomic_file.h"

namespace ferment::io {

Status TryToWriteIn(const std::filesystem::path& folder) {
  FERMENT_RETURN_IF_ERROR(CreateFolders(folder));
  const auto file = AtomicFile::Create(folder / "try");
  return file ? Status() : file.error();
}

}  // namespace ferment::io
