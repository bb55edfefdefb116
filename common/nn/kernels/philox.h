// SPDX-License-Identifier: Apache-2.0
//
// Random words by the million: a function of a key and a place, so that any thread makes any part of them.
#pragma once

#include <cstdint>
#include <span>

namespace ferment::nn {

/// Words are made in groups of so many: of eight counters side by side, first the first word of each.
inline constexpr std::int64_t kPhiloxGroup = 32;

/// Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011). Fills `words`, whole groups from
/// group number `first` on: word 32 g + 8 w + l is word w of counter 8 g + l. The same on every processor. Thread: any.
void FillWithPhilox(std::uint64_t key, std::uint64_t first, std::span<std::uint32_t> words);

/// The same without instructions that not every processor has.
void FillWithPhiloxAnywhere(std::uint64_t key, std::uint64_t first, std::span<std::uint32_t> words);

}  // namespace ferment::nn
