// SPDX-License-Identifier: Apache-2.0
//
// What the committed label sets of a run say, and a few of the faces behind them.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/config/run_spec.h"
#include "common/report/run_figures.h"

namespace ferment::report {

/// Enters pseudo_labels, faces and truth_note: one row a teacher and label config, in the order of `teachers`
/// (digests). A truth file or a source of faces that cannot be read costs the figures that need it, and truth_note says
/// so. Errors: DataLoss for a damaged index or label set.
Status ReadLabelFigures(const RunLayout& layout, const RunSpec& spec, const std::vector<std::string>& teachers,
                        RunFigures& figures);

}  // namespace ferment::report
