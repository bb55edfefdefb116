// SPDX-License-Identifier: Apache-2.0
//
// A process: it has its own clock, may be stopped and go on (SIGSTOP, SIGCONT), and be killed.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "tests/simulation/sim_queue.h"

namespace ferment::simulation {

/// Monotonic time runs at `rate` of true time; wall time may jump.
class SimClock final : public Clock {
 public:
  SimClock(const SimQueue& queue, double rate) : queue_(queue), rate_(rate) {}
  MonotonicTime Now() const override { return MonotonicTime(kBoot + Local()); }
  WallTime WallNow() const override { return WallTime(kEpoch + jump_ + Local()); }
  void JumpWall(SimTime by) { jump_ += by; }
  double rate() const { return rate_; }
  /// Returns: the true time that `local` time takes by this clock.
  SimTime ToTrue(SimTime local) const {
    return SimTime(static_cast<SimTime::rep>(static_cast<double>(local.count()) / rate_));
  }

 private:
  static constexpr std::chrono::seconds kBoot{1'000};
  static constexpr std::chrono::seconds kEpoch{1'700'000'000};
  SimTime Local() const {
    return SimTime(static_cast<SimTime::rep>(static_cast<double>(queue_.now().count()) * rate_));
  }
  const SimQueue& queue_;
  const double rate_;
  SimTime jump_{0};
};

class SimProcess {
  struct Life;

 public:
  /// One life of the process; it may outlive it.
  class Handle {
   public:
    /// Returns: `act`, to happen only while this very process lives, and not while it is stopped.
    std::function<void()> Bound(std::function<void()> act) const {
      return [life = life_, act = std::move(act)] {
        const std::shared_ptr<Life> living = life.lock();
        if (living == nullptr) return;
        if (living->stopped) {
          living->waiting.push_back(act);
          return;
        }
        act();
      };
    }

   private:
    friend class SimProcess;
    std::weak_ptr<Life> life_;
  };

  SimProcess(SimQueue& queue, double rate) : queue_(queue), clock_(queue, rate) {}
  SimProcess(const SimProcess&) = delete;
  SimProcess& operator=(const SimProcess&) = delete;

  const SimClock& clock() const { return clock_; }
  SimClock& clock() { return clock_; }
  bool alive() const { return life_ != nullptr; }
  bool stopped() const { return alive() && life_->stopped; }

  /// A new process under the same name.
  void Start() { life_ = std::make_shared<Life>(); }
  /// What it was about to do never happens.
  void Kill() { life_.reset(); }
  void Stop() {
    if (alive()) life_->stopped = true;
  }
  /// What came due meanwhile happens at once, in its order.
  void Continue() {
    if (!stopped()) return;
    life_->stopped = false;
    for (auto& act : std::exchange(life_->waiting, {})) After(SimTime(0), std::move(act));
  }

  Handle handle() const {
    Handle handle;
    handle.life_ = life_;
    return handle;
  }
  /// `delay` by this process's own clock.
  void After(SimTime delay, std::function<void()> act) {
    queue_.After(clock_.ToTrue(delay), handle().Bound(std::move(act)));
  }

 private:
  struct Life {
    bool stopped = false;
    std::vector<std::function<void()>> waiting;
  };
  SimQueue& queue_;
  SimClock clock_;
  std::shared_ptr<Life> life_;
};

}  // namespace ferment::simulation
