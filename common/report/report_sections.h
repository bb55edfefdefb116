// SPDX-License-Identifier: Apache-2.0
//
// The parts of the report page, from the headline to the cost; a part without figures says why it is empty, or is left
// out.
#pragma once

#include <string>

#include "common/report/run_figures.h"

namespace ferment::report {

std::string HeadlineSection(const RunFigures& figures);
std::string AblationSection(const RunFigures& figures);
std::string FacesSection(const RunFigures& figures);
std::string PseudoLabelSection(const RunFigures& figures);
std::string CurveSection(const RunFigures& figures);
std::string TimelineSection(const RunFigures& figures);
std::string CostSection(const RunFigures& figures);

}  // namespace ferment::report
