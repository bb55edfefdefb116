// SPDX-License-Identifier: Apache-2.0
//
// For a trainer that nobody runs: its token is the run's folder, and progress is a log line.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "worker/run_client.h"

namespace ferment::worker {

/// Acquire takes `run_dir` (io::FolderHold) for `job` until this is destroyed. Its errors are those of
/// FolderHold::Take: Aborted (202) where a coordinator, a `ferment run` or another trainer that was started by hand has
/// it; where that is on another host, after two minutes; Cancelled (143) once `leaving` says so meanwhile.
std::unique_ptr<RunClient> MakeOfflineRunClient(std::filesystem::path run_dir, std::string job,
                                                std::function<bool()> leaving);

}  // namespace ferment::worker
