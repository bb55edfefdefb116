// SPDX-License-Identifier: Apache-2.0
//
// A distribution from the wire, the same in every service that takes one.
#pragma once

#include "common/metrics/distribution.h"
#include "ferment/v1/distribution.pb.h"

namespace ferment::coordinator {

inline metrics::Distribution DistributionOf(const v1::Distribution& proto) {
  return {{proto.counts().begin(), proto.counts().end()}, proto.sum()};
}

}  // namespace ferment::coordinator
