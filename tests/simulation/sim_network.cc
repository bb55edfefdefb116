// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_network.h"

#include "common/rpc/outage_patience.h"

namespace ferment::simulation {
namespace {

using std::chrono::milliseconds;

constexpr double kStormDrop = 0.6;
constexpr double kLateCopy = 0.5;
constexpr milliseconds kLongestUsual{8};

}  // namespace

const Patience kLongPatience{std::chrono::seconds(5), rpc::kOutagePatience};

void SimNetwork::Carry(const std::string& node, const std::function<void()>& deliver) {
  if (cut_.contains(node)) return;
  const bool faulty = world_.Faulty();
  const double drop = world_.queue.now() < storm_until_ ? kStormDrop : world_.plan.drop;
  const int copies = faulty && world_.Chance(world_.plan.duplicate) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    if (faulty && world_.Chance(drop)) continue;
    SimTime delay = world_.Between(SimTime(200), kLongestUsual);
    // A copy often comes long after: from a queue, or from a proxy that tried again.
    if (faulty && world_.Chance(copy == 0 ? world_.plan.slow : kLateCopy))
      delay += world_.Between(SimTime(0), world_.plan.slowest);
    world_.queue.After(delay, deliver);
  }
}

}  // namespace ferment::simulation
