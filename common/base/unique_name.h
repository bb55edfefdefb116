// SPDX-License-Identifier: Apache-2.0
//
// A name for a process or a wish that no other has had or will have.
#pragma once

#include <string>

namespace ferment {

/// Returns: the process id and random digits; another with each call.
std::string NewUniqueName();

}  // namespace ferment
