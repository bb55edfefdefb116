// SPDX-License-Identifier: Apache-2.0
//
// A run's state as text: all of it for people, one line for programs.
#pragma once

#include <string>

#include "ferment/v1/run_service.pb.h"

namespace ferment::cli {

/// Returns: "running", "succeeded" ...; "suspended" for a run of which nothing is started, "ending" for one that has
/// failed or was cancelled and of which something still runs.
std::string StateName(const v1::RunStatus& run);

/// Returns: all that the coordinator tells of a run, in paragraphs: the run, each job, each labeler.
std::string DescribeRun(const v1::RunStatus& run);

/// Returns: run, state, priority, name, running job, done, total, folder, with a tab between each and "-" for what
/// there is none of. A later version may add columns at the end, and changes none.
std::string PlainLine(const v1::RunStatus& run);

}  // namespace ferment::cli
