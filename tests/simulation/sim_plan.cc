// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_plan.h"

#include <algorithm>
#include <iterator>

#include "common/base/random.h"

namespace ferment::simulation {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

SimTime Between(RandomSequence& random, SimTime low, SimTime high) {
  return low + SimTime(static_cast<SimTime::rep>(random.Below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

/// From the last fault until a coordinator is up again: by then every call that was lost has been given up.
constexpr SimTime kQuietBeforeReturn = seconds(30);

/// Each behaviour is absent from half of the seeds, so that rare ones are also seen alone.
double Sometimes(RandomSequence& random, double most) { return random.Below(2) == 0 ? 0 : random.Uniform(0, most); }

}  // namespace

SimPlan::SimPlan(std::uint64_t number) : seed(number) {
  RandomSequence random(seed, StreamOf("simulation.plan"));
  const bool large = random.Below(16) == 0;
  labelers = large ? 4 + random.Below(29) : 3 + random.Below(8);
  runs = random.Below(4) == 0 ? 2 : 1;
  rounds = 1 + random.Below(large ? 2 : 3);
  label_shards = large ? 50 + random.Below(200) : 2 + random.Below(14);
  if (large && random.Below(8) == 0) label_shards = 500;
  videos = random.Below(2) == 0 ? 0 : 1 + random.Below(6);
  shard_records = 1 + random.Below(100);

  lease = Between(random, seconds(2), seconds(20));
  shortest_work = lease / 20;
  longest_work = random.Below(3) == 0 ? 2 * lease : lease;
  if (large) longest_work = lease / 4;
  trainer_work = Between(random, seconds(1), seconds(20));
  const SimTime ticks[] = {milliseconds(100), milliseconds(400), milliseconds(1'500)};
  tick = ticks[random.Below(std::size(ticks))];
  batch_limit = random.Below(4) == 0 ? 1 + random.Below(4) : 64;

  fault_time = Between(random, seconds(10), seconds(150));
  fault_pause = Between(random, seconds(1), seconds(25));
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    if (random.Below(3) == 0) faults.push_back(static_cast<Fault>(kind));
  }
  drop = Sometimes(random, 0.15);
  duplicate = Sometimes(random, 0.4);
  slow = Sometimes(random, 0.2);
  slowest = Between(random, seconds(1), seconds(40));
  other_bytes = Sometimes(random, 0.2);
  miscount = random.Below(4) == 0 ? 0.05 : 0;
  shard_fails = random.Below(3) == 0 ? random.Uniform(0, 0.1) : 0;
  hand_back = Sometimes(random, 0.1);
  stubborn = Sometimes(random, 1);
  trainer_dies = Sometimes(random, 0.5);
  started_twice = Sometimes(random, 0.5);
  stops_before_end = Sometimes(random, 0.5);
  launch_fails = random.Below(4) == 0 ? 0.1 : 0;
  remembers_exits = random.Below(2) == 0;
  file_fails = random.Below(5) == 0 ? random.Uniform(0.02, 0.15) : 0;
  dies_at_turn = Sometimes(random, 0.3);
  dies_young = Sometimes(random, 0.3);
  slow_task = Sometimes(random, 0.4);
  shared_store = random.Below(2) == 0;
  cancel = Sometimes(random, 0.6);
  reopen = random.Below(3) == 0 ? 0 : 0.9;
  skew = Sometimes(random, 0.3);
  last_word = Sometimes(random, 1);
  stops_before_rename = shared_store ? Sometimes(random, 0.3) : 0;
  bad_teacher = random.Below(3) == 0 ? random.Uniform(0.1, 0.6) : 0;
  canaries = 1 + random.Below(40);
  forget_labelers = Between(random, seconds(41), seconds(120));
  suspend = Sometimes(random, 0.8);
  roll_back = rounds > 1 ? Sometimes(random, 0.5) : 0;
  compact_after = random.Below(4) == 0 ? 1'000'000 : 1 + random.Below(80);
  DrawMachines();
  DrawDeadlyShards();
  DrawRetention();
  DrawOutage();
}

void SimPlan::DrawMachines() {
  RandomSequence random(seed, StreamOf("simulation.machines"));
  labelers_a_machine = 1 + random.Below(4);
  cool_down.after = 1 + static_cast<std::uint32_t>(random.Below(4));
  cool_down.first = milliseconds(500 + random.Below(5'000));
  cool_down.longest = cool_down.first + milliseconds(random.Below(60'000));
  if (random.Below(2) == 0) return;
  const std::uint64_t machines = (labelers + labelers_a_machine - 1) / labelers_a_machine;
  faulty_machines = std::min<std::uint64_t>(1 + random.Below(2), machines - 1);
  machine_kills = Sometimes(random, 1);
  if (faulty_machines == 0 || random.Below(4) != 0) return;
  only_machines_fail = true;
  LetOnlyMachinesFail();
  if (random.Below(2) == 0) faults = {Fault::kKillCoordinator};
}

void SimPlan::DrawDeadlyShards() {
  RandomSequence random(seed, StreamOf("simulation.deadly_shards"));
  if (only_machines_fail || random.Below(4) != 0) return;
  const std::uint64_t count = 1 + random.Below(2);
  for (std::uint64_t i = 0; i < count; ++i) deadly_shards.insert(random.Below(label_shards));
  deadly_at = random.Uniform(0, 1);
}

void SimPlan::DrawRetention() {
  RandomSequence random(seed, StreamOf("simulation.retention"));
  if (random.Below(2) == 0) return;
  retention.runs = random.Below(3);
  people_ask_for = Between(random, seconds(5), seconds(30));
  // The last attempt goes to a coordinator that is stopped then, and whose clock goes too fast.
  const SimTime late = 3 * (people_ask_for + slowest + 2 * lease) / 2;
  retention.least = duration_cast<milliseconds>(Between(random, late + seconds(1), late + seconds(20)));
  // Runs are so short, and so many, that some are forgotten while others go on.
  trainer_work = std::min<SimTime>(trainer_work, seconds(2));
  fault_time += 3 * retention.least;
}

void SimPlan::DrawOutage() {
  RandomSequence random(seed, StreamOf("simulation.outage"));
  if (only_machines_fail || random.Below(16) != 0) return;
  outage = Between(random, seconds(60), seconds(594));
  outage_begin = Between(random, seconds(5), fault_time);
  fault_time = outage_begin + outage - kQuietBeforeReturn;
}

void SimPlan::LetOnlyMachinesFail() {
  faults.clear();
  drop = duplicate = slow = 0;
  other_bytes = miscount = shard_fails = stubborn = 0;
  trainer_dies = started_twice = stops_before_end = launch_fails = last_word = 0;
  dies_at_turn = dies_young = slow_task = file_fails = stops_before_rename = 0;
  cancel = suspend = roll_back = bad_teacher = 0;
}

std::string SimPlan::Describe() const {
  std::string kinds;
  for (const Fault fault : faults) kinds += (kinds.empty() ? "" : ",") + std::to_string(static_cast<int>(fault));
  return "seed=" + std::to_string(seed) + " labelers=" + std::to_string(labelers) + " runs=" + std::to_string(runs) +
         " rounds=" + std::to_string(rounds) + " shards=" + std::to_string(label_shards) +
         " videos=" + std::to_string(videos) +
         " lease_ms=" + std::to_string(duration_cast<milliseconds>(lease).count()) +
         " machines=" + std::to_string(faulty_machines) + "x" + std::to_string(labelers_a_machine) +
         (only_machines_fail ? " only" : "") + " deadly=" + std::to_string(deadly_shards.size()) +
         (outage > SimTime(0) ? " outage_s=" + std::to_string(duration_cast<seconds>(outage).count()) : "") +
         " fault_s=" + std::to_string(duration_cast<seconds>(fault_time).count()) + " faults=" + kinds;
}

}  // namespace ferment::simulation
