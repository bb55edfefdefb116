// SPDX-License-Identifier: Apache-2.0
//
// Calls from labelers, trainers and people to whichever coordinator they reach, over a network that loses, delays,
// doubles and reorders what it carries.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "tests/simulation/sim_coordinator.h"
#include "tests/simulation/sim_process.h"
#include "tests/simulation/sim_world.h"

namespace ferment::simulation {

/// As rpc::CallOptions.
struct Patience {
  SimTime deadline = std::chrono::seconds(5);
  /// 0: one attempt.
  SimTime retry_for{0};
};
/// What labelers and trainers have for a coordinator that is away.
extern const Patience kLongPatience;

class SimNetwork {
 public:
  /// `reach` gives the coordinator that a call arrives at, or nullptr while there is none.
  SimNetwork(SimWorld& world, std::function<SimCoordinator*()> reach) : world_(world), reach_(std::move(reach)) {}

  /// Takes a message from or to this node some time later, or never, or twice.
  void Carry(const std::string& node, const std::function<void()>& deliver);
  SimCoordinator* Reach() { return reach_(); }
  void Cut(const std::string& node) { cut_.insert(node); }
  void Mend(const std::string& node) { cut_.erase(node); }
  void MendAll() { cut_.clear(); }
  void StormUntil(SimTime time) { storm_until_ = time; }
  SimWorld& world() { return world_; }

 private:
  SimWorld& world_;
  const std::function<SimCoordinator*()> reach_;
  std::set<std::string> cut_;
  SimTime storm_until_{0};
};

inline const Status& StatusIn(const Status& status) { return status; }
template <typename T>
Status StatusIn(const Result<T>& result) {
  return result ? Status() : result.error();
}

/// One call with its attempts; holds itself alive while anything of it is under way.
template <typename Answer>
class SimCall : public std::enable_shared_from_this<SimCall<Answer>> {
 public:
  /// Runs at the coordinator and gives its answer to the second argument, once, or never.
  using Serve = std::function<void(SimCoordinator&, std::function<void(Answer)>)>;
  struct Parts {
    SimNetwork& network;
    SimProcess& client;
    std::string node;
    Patience patience;
    Serve serve;
    /// Runs in the client, unless that has died.
    std::function<void(Answer)> done;
  };
  explicit SimCall(Parts parts) : parts_(std::move(parts)) {}

  void Begin() {
    process_ = parts_.client.handle();
    began_ = Now();
    give_up_ = began_ + parts_.patience.retry_for;
    Attempt();
  }

 private:
  SimTime Now() { return parts_.network.world().queue.now(); }

  void Attempt() {
    const int attempt = ++attempt_;
    auto self = this->shared_from_this();
    auto reply = [self, attempt](Answer answer) {
      self->parts_.network.Carry(self->parts_.node,
                                 self->process_.Bound([self, attempt, answer] { self->Answered(attempt, answer); }));
    };
    parts_.network.Carry(parts_.node, [self, reply] {
      SimCoordinator* coordinator = self->parts_.network.Reach();
      if (coordinator == nullptr) {
        reply(FailedAnswer<Answer>(UnavailableError("connection refused")));
      } else {
        self->parts_.serve(*coordinator, reply);
      }
    });
    parts_.client.After(parts_.patience.deadline, [self, attempt] {
      self->Answered(attempt, FailedAnswer<Answer>(DeadlineExceededError("no answer in time")));
    });
  }

  void Answered(int attempt, Answer answer) {
    if (attempt != attempt_) return;
    const StatusCode code = StatusIn(answer).code();
    const bool again = code == StatusCode::kUnavailable || code == StatusCode::kDeadlineExceeded;
    if (again && Now() + pause_ < give_up_) {
      ++attempt_;
      parts_.client.After(parts_.network.world().Between(pause_ / 2, pause_),
                          [self = this->shared_from_this()] { self->Attempt(); });
      pause_ = std::min<SimTime>(2 * pause_, std::chrono::seconds(2));
      return;
    }
    const bool patient = parts_.patience.retry_for >= kLongPatience.retry_for;
    if (again && patient) parts_.network.world().outage.GaveUp(parts_.node, began_);
    attempt_ = kDone;
    parts_.done(std::move(answer));
  }

  static constexpr int kDone = -1;
  Parts parts_;
  SimProcess::Handle process_;
  int attempt_ = 0;
  SimTime began_{0};
  SimTime give_up_{0};
  SimTime pause_ = std::chrono::milliseconds(100);
};

/// Returns: a service that is this one question.
template <typename Answer>
typename SimCall<Answer>::Serve Asks(SimCoordinator::Question<Answer> question) {
  return [question = std::move(question)](SimCoordinator& coordinator, std::function<void(Answer)> answer) {
    coordinator.Ask<Answer>(question, std::move(answer));
  };
}

template <typename Answer>
void Call(typename SimCall<Answer>::Parts parts) {
  std::make_shared<SimCall<Answer>>(std::move(parts))->Begin();
}

}  // namespace ferment::simulation
