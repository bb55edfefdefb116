// SPDX-License-Identifier: Apache-2.0
//
// Turns what a run left in its folder into report.json (schema ferment.report/v1) and report.html.
#pragma once

#include <filesystem>

#include "common/base/status.h"
#include "common/io/atomic_file.h"

namespace ferment::report {

/// Writes both files of `run_dir` anew, each atomically. A run that failed or is not over yet has a report too: what is
/// missing is said in it. Safe to call again; the same folder gives the same bytes.
///
/// Errors: NotFound where the folder has no spec; DataLoss where a file of the run cannot be read, naming it; the
/// errors of writing, or of `write` in its place.
Status WriteReport(const std::filesystem::path& run_dir);
Status WriteReport(const std::filesystem::path& run_dir, const io::WriteText& write);

}  // namespace ferment::report
