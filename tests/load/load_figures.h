// SPDX-License-Identifier: Apache-2.0
//
// What a load test prints, and what each of them asserts in the end.
#pragma once

#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "common/base/status.h"
#include "tests/load/labelers.h"
#include "tests/load/loaded_coordinator.h"

namespace ferment::load {

inline void Tell(const char* what, const std::string& figures) { std::cout << what << ' ' << figures << std::endl; }

inline std::string Figures(const bench::Load& load) {
  return "calls=" + std::to_string(load.calls) + " failed=" + std::to_string(load.failed) +
         " p50_ms=" + std::to_string(load.Quantile(0.5)) + " p99_ms=" + std::to_string(load.Quantile(0.99));
}

inline std::string Figures(const ProcessResources& held) {
  return "rss_mib=" + std::to_string(held.rss_mib) + " peak_rss_mib=" + std::to_string(held.peak_rss_mib) +
         " threads=" + std::to_string(held.threads) + " files=" + std::to_string(held.files);
}

inline void ExpectNothingLost(LoadedCoordinator& coordinator, const Labelers& labelers) {
  EXPECT_EQ(coordinator.Leave(), exit_code::kTerminated);
  const auto in_the_log = coordinator.CommittedShards();
  std::uint64_t lost = 0;
  for (const std::uint64_t shard : labelers.Committed()) lost += in_the_log.contains(shard) ? 0 : 1;
  EXPECT_EQ(lost, 0U) << "of " << labelers.Committed().size() << " acknowledged";
}

}  // namespace ferment::load
