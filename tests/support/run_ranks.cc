// SPDX-License-Identifier: Apache-2.0
#include "tests/support/run_ranks.h"

#include <thread>
#include <vector>

#include "worker/collective/thread_collective.h"

namespace ferment::testing {

void RunRanks(int ranks, const std::function<void(worker::Collective&)>& body, std::chrono::milliseconds deadline) {
  auto collectives = worker::MakeThreadCollectives(ranks, deadline);
  std::vector<std::jthread> threads;
  for (auto& collective : collectives) threads.emplace_back([&body, &collective] { body(*collective); });
}

}  // namespace ferment::testing
