// SPDX-License-Identifier: Apache-2.0
//
// A run's figures as one self-contained page: no script, no request to anywhere, light and dark, desk and phone.
#pragma once

#include <string>

#include "common/report/run_figures.h"

namespace ferment::report {

/// Returns: a complete HTML document in UTF-8; every text of the run in it is escaped.
std::string RenderReportPage(const RunFigures& figures);

}  // namespace ferment::report
