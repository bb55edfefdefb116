// SPDX-License-Identifier: Apache-2.0
//
// RunFiles on this machine's file system.
#pragma once

#include <memory>

#include "coordinator/run_files.h"

namespace ferment::coordinator {

std::unique_ptr<RunFiles> MakeLocalRunFiles();

}  // namespace ferment::coordinator
