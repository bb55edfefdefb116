// SPDX-License-Identifier: Apache-2.0
//
// Counter-based randomness: the same (seed, stream, index) gives the same value on any machine, rank or thread.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace ferment {

/// Returns: 64 well-mixed bits of (seed, stream, index); SplitMix64's finaliser (Steele, Lea, Flood 2014) over a chain.
std::uint64_t RandomBits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);
/// Returns: a double in [0, 1) with 53 random bits.
double RandomUniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);
/// Returns: a stream number for a name, so that two uses of one seed never share values by accident.
std::uint64_t StreamOf(std::string_view name);

/// A sequence over one (seed, stream); a value, and a C++ uniform random bit generator. Its whole state is `position`.
class RandomSequence {
 public:
  using result_type = std::uint64_t;
  RandomSequence(std::uint64_t seed, std::uint64_t stream, std::uint64_t position = 0)
      : seed_(seed), stream_(stream), position_(position) {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }
  result_type operator()() { return RandomBits(seed_, stream_, position_++); }

  /// Returns: a double in [low, high).
  double Uniform(double low, double high);
  /// Returns: an integer in [0, count). Requires: count > 0.
  std::uint64_t Below(std::uint64_t count);
  /// Returns: a sample of the standard normal distribution (Box-Muller, two draws).
  double Normal();
  std::uint64_t position() const { return position_; }

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t position_;
};

/// Returns: 0 .. count-1 in an order that depends on (seed, stream) alone (Fisher-Yates).
std::vector<std::uint64_t> RandomPermutation(std::uint64_t count, std::uint64_t seed, std::uint64_t stream);

}  // namespace ferment
