// SPDX-License-Identifier: Apache-2.0
//
// What the ranks of a job compute on: each on its own GPU, or all on the CPU.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/collective/collective.h"

namespace ferment::worker {

struct DeviceChoice {
  /// CUDA's index of this rank's device; none: the CPU.
  std::optional<int> cuda;
  /// Where `auto` came to the CPU: what is missing.
  std::string why;
};

/// `wanted` is resources.device; `devices` are the names of those that this process may use, unique over machines, or
/// why there are none. Rank r of a machine takes device r, counted round, since a launcher may show each rank only its
/// own. Returns: the same kind on every rank; with `auto` the CPU where a rank has no device of its own.
/// Errors: that of the lowest rank without a device (69), where `wanted` is cuda; those of the collective.
Result<DeviceChoice> ChooseDevice(std::string_view wanted, int local_rank,
                                  const Result<std::vector<std::string>>& devices, Collective& ranks);

}  // namespace ferment::worker
