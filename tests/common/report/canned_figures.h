// SPDX-License-Identifier: Apache-2.0
//
// Made-up figures of a finished run, for tests of what is drawn from them.
#pragma once

#include "common/report/run_figures.h"

namespace ferment::report {

RunFigures CannedFigures();

}  // namespace ferment::report
