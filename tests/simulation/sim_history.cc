// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_history.h"

#include <array>
#include <cstdio>

namespace ferment::simulation {
namespace {

constexpr std::size_t kLinesKept = 60;
constexpr std::uint64_t kFnvPrime = 0x100000001b3;

}  // namespace

std::string Name(const coordinator::LeaseKey& key) {
  return key.run_id + "/" + key.job_id + " shard=" + std::to_string(key.shard) + " epoch=" + std::to_string(key.epoch);
}

void SimHistory::Say(const std::string& line) {
  std::array<char, 32> time{};
  std::snprintf(time.data(), time.size(), "%11.6f ", std::chrono::duration<double>(queue_.now()).count());
  std::string full = time.data() + line;
  for (const char c : full) digest_ = (digest_ ^ static_cast<unsigned char>(c)) * kFnvPrime;
  ++lines_;
  if (trace_) std::printf("%s\n", full.c_str());
  last_.push_back(std::move(full));
  if (last_.size() > kLinesKept) last_.pop_front();
}

void SimHistory::Violate(const std::string& promise, const std::string& what) {
  if (violation_) return;
  violation_ = Violation{promise, what};
  Say("VIOLATION of " + promise + ": " + what);
}

}  // namespace ferment::simulation
