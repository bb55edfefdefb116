// SPDX-License-Identifier: Apache-2.0
//
// Collects a run's figures from its folder.
#pragma once

#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/report/run_figures.h"

namespace ferment::report {

/// What does not exist yet is left empty. Errors: as WriteReport.
Result<RunFigures> ReadRunFigures(const RunLayout& layout);

}  // namespace ferment::report
