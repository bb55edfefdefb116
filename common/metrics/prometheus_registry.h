// SPDX-License-Identifier: Apache-2.0
//
// MetricRegistry by prometheus-cpp.
#pragma once

#include "common/metrics/metric.h"

namespace ferment::metrics {

std::unique_ptr<MetricRegistry> MakePrometheusRegistry();

}  // namespace ferment::metrics
