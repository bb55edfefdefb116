// SPDX-License-Identifier: Apache-2.0
//
// A run's place in the order of submission, which its id ends with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ferment::coordinator {

/// Returns: the id of the run that is submitted as the `number`-th ever, from 1 on.
std::string RunIdOf(std::string_view name, std::uint64_t number);

/// Returns: that number; 0 where it is no such id.
std::uint64_t RunNumberOf(std::string_view run_id);

}  // namespace ferment::coordinator
