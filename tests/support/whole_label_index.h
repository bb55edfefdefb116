// SPDX-License-Identifier: Apache-2.0
//
// An index.json in one piece.
#pragma once

#include <filesystem>
#include <span>

#include "coordinator/desks/run_files.h"

namespace ferment::testing {

inline Status WriteLabelIndex(coordinator::RunFiles& files, const std::filesystem::path& folder,
                              std::span<const coordinator::LabelEntry> entries, const coordinator::Fence& fence) {
  FERMENT_ASSIGN_OR_RETURN(const auto making, files.BeginLabelIndex(folder, fence));
  FERMENT_RETURN_IF_ERROR(making->Append(entries));
  return making->Finish(fence);
}

}  // namespace ferment::testing
