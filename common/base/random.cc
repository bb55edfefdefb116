// SPDX-License-Identifier: Apache-2.0
#include "common/base/random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "common/base/check.h"

namespace ferment {
namespace {

constexpr std::uint64_t kGamma = 0x9E3779B97F4A7C15ULL;

std::uint64_t Mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

std::uint64_t RandomBits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return Mix(Mix(Mix(seed + kGamma) ^ (stream * kGamma)) + (index + 1) * kGamma);
}

double RandomUniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return static_cast<double>(RandomBits(seed, stream, index) >> 11) * 0x1.0p-53;
}

std::uint64_t StreamOf(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

double RandomSequence::Uniform(double low, double high) {
  return low + (high - low) * RandomUniform(seed_, stream_, position_++);
}

std::uint64_t RandomSequence::Below(std::uint64_t count) {
  FERMENT_CHECK(count > 0);
  // The high half of a 128-bit product: biased by less than count / 2^64.
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>((*this)()) * count) >> 64);
}

double RandomSequence::Normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform(0, 1)));
  return radius * std::cos(2.0 * std::numbers::pi * Uniform(0, 1));
}

std::vector<std::uint64_t> RandomPermutation(std::uint64_t count, std::uint64_t seed, std::uint64_t stream) {
  std::vector<std::uint64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  RandomSequence sequence(seed, stream);
  for (std::uint64_t i = count; i > 1; --i) std::swap(order[i - 1], order[sequence.Below(i)]);
  return order;
}

}  // namespace ferment
