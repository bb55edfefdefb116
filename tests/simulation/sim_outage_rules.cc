// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_outage_rules.h"

#include <utility>
#include <variant>

namespace ferment::simulation {
namespace {

/// Promised of an outage.
constexpr SimTime kLongest = std::chrono::minutes(10);
/// Until whoever tries again every two seconds, by a clock that may go slowly, has found the coordinator.
constexpr SimTime kUntilFound = std::chrono::seconds(5);

}  // namespace

void SimOutageRules::Began(SimTime end, const std::vector<coordinator::LeaseKey>& in_hand) {
  end_ = end;
  in_hand_.insert(in_hand.begin(), in_hand.end());
}

void SimOutageRules::Trains(const std::string& run_id, const std::string& job_id, std::uint64_t process) {
  training_.emplace(std::pair(run_id, job_id), process);
}

void SimOutageRules::Take(std::span<const coordinator::Event> events) {
  for (const coordinator::Event& event : events) {
    std::visit(
        [this](const auto& one) {
          if constexpr (requires { On(one); }) On(one);
        },
        event);
  }
}

void SimOutageRules::On(const coordinator::ShardReleased& event) {
  if (in_hand_.erase(event.key) == 0) return;
  // A first registration that comes after its process died looks like a newer process.
  if (event.reason == coordinator::ReleaseReason::kReplaced) return;
  history_.Violate("P12", "work that was in hand when the coordinator went is taken away: " + Name(event.key));
}

void SimOutageRules::On(const coordinator::AttemptExited& event) {
  if (training_.erase({event.run_id, event.job_id}) == 0) return;
  history_.Violate("P12", "a trainer that lived through an outage is given up: " + event.run_id + "/" + event.job_id +
                              "/" + std::to_string(event.attempt));
}

void SimOutageRules::Drop(const std::string& run_id, const std::string& job_id) {
  std::erase_if(in_hand_, [&](const auto& key) { return key.run_id == run_id && key.job_id == job_id; });
  training_.erase({run_id, job_id});
}

void SimOutageRules::TrainerGone(std::uint64_t process) {
  std::erase_if(training_, [&](const auto& one) { return one.second == process; });
}

void SimOutageRules::GaveUp(const std::string& node, SimTime began) {
  if (end_ == SimTime(0) || began + kLongest < end_ + kUntilFound) return;
  history_.Violate("P12", "gave up although the coordinator was gone for less than ten minutes: " + node);
}

void SimOutageRules::Final() {
  for (const coordinator::LeaseKey& key : in_hand_) {
    history_.Violate("P12", "work that was in hand when the coordinator went was never committed: " + Name(key));
  }
}

}  // namespace ferment::simulation
