// SPDX-License-Identifier: Apache-2.0
//
// A run's figures as the document ferment.report/v1 (docs/formats.md).
#pragma once

#include "common/base/json.h"
#include "common/report/run_figures.h"

namespace ferment::report {

Json ReportDocument(const RunFigures& figures);

}  // namespace ferment::report
