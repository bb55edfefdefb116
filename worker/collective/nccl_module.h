// SPDX-License-Identifier: Apache-2.0
//
// Opens the module that links NCCL and the CUDA runtime, so that the trainer itself starts where there is neither.
#pragma once

#include <string>
#include <vector>

#include "worker/collective/nccl_collective.h"

namespace ferment::worker {

/// What the module gives; the only thing that it exports, under kNcclModuleSymbol.
struct NcclModule {
  /// kNcclModuleInterface of its build.
  int interface;
  /// Returns: a name for each device that this process may use, by CUDA's index: its PCI address. Errors: NotFound
  /// where there is none.
  Result<std::vector<std::string>> (*list_devices)();
  /// MakeNcclCollective.
  Result<std::unique_ptr<Collective>> (*make_collective)(Collective& host, const NcclOptions& options);
};

/// Grows with every change of NcclModule, NcclOptions or Collective.
inline constexpr int kNcclModuleInterface = 1;
inline constexpr char kNcclModuleSymbol[] = "kFermentNcclModule";

/// Returns: the module in `file`, a path or a name that the loader looks for; it stays open until the process ends.
/// Errors: NotFound with the loader's words; FailedPrecondition where the file is of another build.
Result<const NcclModule*> OpenNcclModule(const std::string& file);

}  // namespace ferment::worker
