// SPDX-License-Identifier: Apache-2.0
//
// An index.json that says what a test wants, whatever it said before.
#pragma once

#include <filesystem>

#include "common/dataset/labels/label_index.h"
#include "common/io/atomic_file.h"

namespace ferment::testing {

inline Status ReplaceLabelIndex(const std::filesystem::path& folder, const dataset::LabelIndex& index) {
  dataset::LabelIndexText text;
  for (const auto& [shard, file] : index) text.Add(shard, file);
  return io::WriteFileAtomically(dataset::LabelIndexFile(folder), text.TakeEnd());
}

}  // namespace ferment::testing
