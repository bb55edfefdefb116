// SPDX-License-Identifier: Apache-2.0
//
// One coordinator process: the production RunEngine and its desks, with simulated threads, store and death.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "common/metrics/metric.h"
#include "coordinator/scheduler/run_engine.h"
#include "tests/simulation/sim_process.h"
#include "tests/simulation/sim_run_files.h"
#include "tests/simulation/sim_world.h"

namespace ferment::simulation {

template <typename Answer>
Answer FailedAnswer(const Status& failure) {
  if constexpr (std::is_same_v<Answer, Status>) {
    return failure;
  } else {
    return Fail(failure);
  }
}

/// A thread that runs tasks one after another; each takes a while, and happens at some instant within it.
class SimTaskRunner final : public coordinator::TaskRunner {
 public:
  struct Parts {
    SimWorld& world;
    SimProcess& process;
    std::function<void(const ProcessDied&)> died;
  };
  explicit SimTaskRunner(Parts parts) : parts_(std::move(parts)), world_(parts_.world), process_(parts_.process) {}
  void Post(std::function<void()> task) override;
  /// The thread happens to run now.
  void RunOne();

 private:
  void Wake();

  const Parts parts_;
  SimWorld& world_;
  SimProcess& process_;
  std::deque<std::function<void()>> tasks_;
  bool awake_ = false;
};

/// What Scheduler does with its thread and its queue, the simulation does with events; deciding, saving and answering
/// is RunEngine::Round in both.
class SimCoordinator final : private DiskWitness {
 public:
  struct Parts {
    SimWorld& world;
    std::unique_ptr<coordinator::Launcher> launcher;
    double clock_rate = 1;
    /// Called once, from within the coordinator: destroy it later.
    std::function<void()> died;
    /// Stops this one for a while; perhaps another takes over.
    std::function<void(SimCoordinator&)> stop;
  };
  explicit SimCoordinator(Parts parts);

  void Start();
  void Die(const std::string& why);
  /// As TERM: refuses new work, stops trainers, leaves when they have or its patience is over.
  void Drain();
  SimProcess& process() { return process_; }
  std::uint64_t term() const { return store_.term(); }
  const coordinator::JobBook& book() const { return engine_->book(); }

  /// A request: how it is decided, and who sees its answer at the instant at which that leaves this process.
  template <typename Answer>
  struct Question {
    std::function<Answer(coordinator::RunEngine&)> decide;
    std::function<void(const Moment&, const Answer&)> seen = nullptr;
    /// Which shard it is about, if one; of a run, its id alone.
    std::optional<coordinator::LeaseKey> about = std::nullopt;
    bool while_draining = true;
  };
  template <typename Answer>
  void Ask(const Question<Answer>& question, std::function<void(Answer)> answer) {
    if (draining_ && !question.while_draining) return answer(FailedAnswer<Answer>(UnavailableError("draining")));
    struct Decided {
      Answer answer = FailedAnswer<Answer>(InternalError("undecided"));
      Moment moment;
    };
    auto decided = std::make_shared<Decided>();
    Enqueue({[this, decided, question] {
               decided->moment = {store_.term(), process_.clock().Now(), {}, 0};
               if (question.about) world_.oracle.FillFromLog(*question.about, decided->moment);
               decided->answer = question.decide(*engine_);
             },
             [this, decided, seen = question.seen, answer = std::move(answer)](const Status& saved) {
               if (!saved.ok()) decided->answer = FailedAnswer<Answer>(saved);
               Leave(saved.ok(), [decided, seen, answer] {
                 if (seen) seen(decided->moment, decided->answer);
                 answer(std::move(decided->answer));
               });
             }});
  }

 private:
  void WhileSaving() override;
  void Logged(std::uint64_t term, std::span<const coordinator::Event> events) override;
  void Compacted(std::size_t events) override;
  void Failed(const Status& why) override;

  /// What the network kept until this run was reopened arrives.
  void HearOf(const std::string& run_id);
  void Enqueue(coordinator::Operation operation);
  void Kick();
  void Tick();
  void Round();
  void Leave(bool well, const std::function<void()>& answer);
  void AwaitDrained(SimTime left);

  const Parts parts_;
  SimWorld& world_;
  SimProcess process_;
  SimEventStore store_;
  std::unique_ptr<metrics::MetricRegistry> registry_;
  coordinator::SchedulerMetrics metrics_;
  SimRunFiles run_files_;
  SimTaskRunner launches_;
  SimTaskRunner files_;
  std::unique_ptr<coordinator::RunEngine> engine_;

  std::deque<coordinator::Operation> queue_;
  bool kicked_ = false;
  bool poll_ = false;
  bool draining_ = false;
  bool store_failed_ = false;
  /// How long the save of this round takes; what is answered after it leaves then.
  SimTime saving_{0};
  SimTime busy_until_{0};
};

}  // namespace ferment::simulation
