// SPDX-License-Identifier: Apache-2.0
//
// RunFiles on this machine's file system, with label sets there or in an object store.
#pragma once

#include <memory>
#include <string>

#include "coordinator/desks/run_files.h"

namespace ferment::coordinator {

/// `label_store`: s3://BUCKET/PREFIX for the label sets of runs that have none yet; empty: the run's folder. What
/// docs/operations.md says of the store is in force where a run's label sets are in one already, too.
std::unique_ptr<RunFiles> MakeLocalRunFiles(std::string label_store = "");

}  // namespace ferment::coordinator
