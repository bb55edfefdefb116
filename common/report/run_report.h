// SPDX-License-Identifier: Apache-2.0
//
// Turns what a run left in its folder into report.json (schema ferment.report/v1) and report.html.
#pragma once

#include <filesystem>

#include "common/base/status.h"

namespace ferment::report {

/// Writes both files of `run_dir` anew, each atomically. A run that failed or is not over yet has a report too: what is
/// missing is said in it. Safe to call again; the same folder gives the same bytes.
///
/// Errors: NotFound where the folder has no spec; DataLoss where a file of the run cannot be read, naming it; the
/// errors of writing.
Status WriteReport(const std::filesystem::path& run_dir);

}  // namespace ferment::report
