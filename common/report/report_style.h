// SPDX-License-Identifier: Apache-2.0
//
// The style sheet of the report page.
#pragma once

#include <string_view>

namespace ferment::report {

/// Returns: CSS; --k0 .. --k7 colour the classes, --s0 .. --s5 the lines of a chart.
std::string_view ReportStyle();

}  // namespace ferment::report
