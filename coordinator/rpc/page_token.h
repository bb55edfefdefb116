// SPDX-License-Identifier: Apache-2.0
//
// Names the run behind which the next page of a list begins, in a text that nobody else need read.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"

namespace ferment::coordinator {

/// `run`: as RunNumberOf. Returns: 24 letters and digits.
std::string PageTokenAfter(std::uint64_t run);

/// Returns: the run; 0 of an empty token, which asks for the first page. Errors: InvalidArgument where PageTokenAfter
/// made no such token.
Result<std::uint64_t> RunOfPageToken(const std::string& token);

}  // namespace ferment::coordinator
