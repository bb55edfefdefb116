// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_coordinator.h"

#include <algorithm>
#include <array>
#include <vector>

#include "common/metrics/prometheus_registry.h"

namespace ferment::simulation {
namespace {

using coordinator::Operation;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SimTime kDrainPatience = seconds(20);

bool TurnsARun(const coordinator::Event& event) {
  using namespace coordinator;  // NOLINT(google-build-using-namespace): every event by its name
  return std::holds_alternative<RunCancelRequested>(event) || std::holds_alternative<RunReopened>(event) ||
         std::holds_alternative<AttemptIntended>(event) || std::holds_alternative<TokenTaken>(event) ||
         std::holds_alternative<JobCompleted>(event) || std::holds_alternative<JobEnded>(event);
}

std::string Describe(const coordinator::Event& event) {
  static constexpr std::array<const char*, std::variant_size_v<coordinator::Event>> kNames = {"submitted",
                                                                                              "reopened",
                                                                                              "cancel",
                                                                                              "run-ended",
                                                                                              "intended",
                                                                                              "launched",
                                                                                              "token",
                                                                                              "completed",
                                                                                              "job-failure",
                                                                                              "exited",
                                                                                              "planned",
                                                                                              "ended",
                                                                                              "registered",
                                                                                              "leased",
                                                                                              "released",
                                                                                              "committed",
                                                                                              "shard-failed",
                                                                                              "tripped",
                                                                                              "forgotten",
                                                                                              "",
                                                                                              "",
                                                                                              "",
                                                                                              "",
                                                                                              "updated",
                                                                                              "returned",
                                                                                              "condemned",
                                                                                              "run-forgotten",
                                                                                              "forgotten-restored"};
  std::string text = kNames[event.index()];
  std::visit(
      [&text](const auto& one) {
        if constexpr (requires { one.key.shard; }) {
          text += ":" + one.key.job_id + "/" + std::to_string(one.key.shard) + "@" + std::to_string(one.key.epoch);
        } else if constexpr (requires { one.job_id; }) {
          text += ":" + one.job_id;
        }
        if constexpr (requires { one.attempt; }) text += "/" + std::to_string(one.attempt);
        if constexpr (requires { one.exit_code; }) text += "=" + std::to_string(one.exit_code);
        if constexpr (requires { one.state; }) text += "=" + std::to_string(static_cast<int>(one.state));
      },
      event);
  return text;
}

}  // namespace

void SimTaskRunner::Post(std::function<void()> task) {
  tasks_.push_back(std::move(task));
  Wake();
}

void SimTaskRunner::Wake() {
  if (awake_ || tasks_.empty()) return;
  awake_ = true;
  const bool slow = world_.Faulty() && world_.Chance(world_.plan.slow_task);
  process_.After(world_.Between(milliseconds(0), slow ? seconds(5) : milliseconds(40)), [this] {
    awake_ = false;
    try {
      RunOne();
    } catch (const ProcessDied& death) {
      parts_.died(death);
      return;
    }
    Wake();
  });
}

void SimTaskRunner::RunOne() {
  if (tasks_.empty()) return;
  const auto task = std::move(tasks_.front());
  tasks_.pop_front();
  task();
}

SimCoordinator::SimCoordinator(Parts parts)
    : parts_(std::move(parts)),
      world_(parts_.world),
      process_(world_.queue, parts_.clock_rate),
      store_(world_.disk, world_.trouble, *this),
      registry_(metrics::MakePrometheusRegistry()),
      metrics_(*registry_),
      run_files_({world_, process_, store_.term(), [this] { parts_.stop(*this); }}),
      launches_({world_, process_, [this](const ProcessDied& death) { Die("killed " + death.where); }}),
      files_({world_, process_, [this](const ProcessDied& death) { Die("killed " + death.where); }}) {
  engine_ = std::make_unique<coordinator::RunEngine>(coordinator::RunEngine::Parts{
      store_, *parts_.launcher, run_files_, process_.clock(), metrics_,
      [this](coordinator::LauncherKind) -> coordinator::TaskRunner& { return launches_; }, files_,
      [this](const RunSpec&, const coordinator::Run& run, const coordinator::Job& job) {
        // Of a fenced one nothing comes: it cannot save.
        if (term() == world_.disk.term) world_.oracle.LaunchPlanned(run, job, world_.queue.now());
        return coordinator::LaunchRequest{{}, {"mpirun"}, {}, {}, {}, run.run_dir};
      },
      [this](std::function<void()> work) {
        process_.After(world_.Between(milliseconds(0), milliseconds(20)), [this, work = std::move(work)] {
          Enqueue({work, nullptr});
        });
      },
      world_.plan.cool_down, world_.plan.retention, duration_cast<milliseconds>(world_.plan.forget_labelers),
      world_.plan.compact_after});
}

void SimCoordinator::Start() {
  process_.Start();
  world_.history.Say("coordinator term=" + std::to_string(term()) + " starts");
  const Status restored = engine_->Restore();
  if (!restored.ok()) world_.history.Violate("P2", "the log cannot be read back: " + restored.ToString());
  world_.oracle.Restored(term(), process_.clock().Now(), book());
  world_.machines.Restored(process_.clock().Now());
  Tick();
}

void SimCoordinator::Die(const std::string& why) {
  if (!process_.alive()) return;
  world_.history.Say("coordinator term=" + std::to_string(term()) + " ends: " + why);
  process_.Kill();
  parts_.died();
}

void SimCoordinator::Drain() {
  if (draining_) return;
  draining_ = true;
  world_.history.Say("coordinator term=" + std::to_string(term()) + " drains");
  Enqueue({[this] { engine_->trainers().Drain(); }, nullptr});
  AwaitDrained(kDrainPatience);
}

void SimCoordinator::AwaitDrained(SimTime left) {
  process_.After(world_.plan.tick, [this, left] {
    if (left <= SimTime(0) || !engine_->trainers().AnyLive()) return Die("drained");
    AwaitDrained(left - world_.plan.tick);
  });
}

void SimCoordinator::WhileSaving() {
  saving_ = world_.Between(SimTime(200), milliseconds(8)) + (world_.Faulty() ? world_.trouble.latency : SimTime(0));
  if (world_.Chance(0.3)) launches_.RunOne();
  if (world_.Chance(0.3)) files_.RunOne();
}

void SimCoordinator::Logged(std::uint64_t term, std::span<const coordinator::Event> events) {
  std::string line = "log";
  for (const coordinator::Event& event : events) line += " " + Describe(event);
  world_.history.Say(line);
  world_.log.Take(term, world_.disk.term, events);
  world_.machines.Take(process_.clock().Now(), events);
  world_.suspects.Take(events);
  world_.outage.Take(events);
  for (const coordinator::Event& event : events) {
    if (const auto* reopened = std::get_if<coordinator::RunReopened>(&event)) HearOf(reopened->run_id);
  }
  if (world_.Faulty() && std::any_of(events.begin(), events.end(), TurnsARun) &&
      world_.Chance(world_.plan.dies_at_turn)) {
    throw ProcessDied{"at a turn"};
  }
}

void SimCoordinator::Compacted(std::size_t events) {
  world_.history.Say("log is now a snapshot of " + std::to_string(events) + " events");
  coordinator::JobBook read_back;
  const Status status = store_.Replay([&](const coordinator::Event& event) {
    read_back.Apply(event);
    return Status();
  });
  if (!status.ok() || read_back != book()) world_.history.Violate("P2", "the snapshot is not what was known");
}

void SimCoordinator::HearOf(const std::string& run_id) {
  const auto [first, last] = world_.until_reopened.equal_range(run_id);
  for (auto late = first; late != last; ++late) {
    world_.queue.After(world_.Between(SimTime(0), milliseconds(50)), late->second);
  }
  world_.until_reopened.erase(first, last);
}

void SimCoordinator::Failed(const Status& why) {
  world_.history.Say("store failed: " + why.ToString());
  store_failed_ = true;
}

void SimCoordinator::Enqueue(Operation operation) {
  queue_.push_back(std::move(operation));
  Kick();
}

void SimCoordinator::Kick() {
  if (kicked_) return;
  kicked_ = true;
  const SimTime wait = std::max(SimTime(0), busy_until_ - world_.queue.now());
  process_.After(wait + SimTime(100), [this] { Round(); });
}

void SimCoordinator::Tick() {
  process_.After(world_.plan.tick, [this] {
    poll_ = true;
    Kick();
    Tick();
  });
}

void SimCoordinator::Round() {
  kicked_ = false;
  std::vector<Operation> batch;
  while (!queue_.empty() && batch.size() < world_.plan.batch_limit) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  saving_ = SimTime(0);
  Status saved;
  try {
    saved = engine_->Round(batch, std::exchange(poll_, false));
  } catch (const ProcessDied& death) {
    Die("killed " + death.where);
    return;
  }
  busy_until_ = world_.queue.now() + saving_;
  if (saved.ok() && store_failed_) world_.history.Violate("204", "the store failed and the coordinator goes on");
  if (!saved.ok()) {
    const int code = ProcessExitCode(saved);
    if (code != exit_code::kStorageFailed && code != exit_code::kFenced) {
      world_.history.Violate("204", "a failed store ends the process with " + std::to_string(code));
    }
    Die("exit code " + std::to_string(code));
    return;
  }
  if (!queue_.empty()) Kick();
}

void SimCoordinator::Leave(bool well, const std::function<void()>& answer) {
  if (well && store_failed_) world_.history.Violate("204", "answered well after the store failed");
  if (saving_ == SimTime(0)) {
    answer();
  } else {
    process_.After(saving_, answer);
  }
}

}  // namespace ferment::simulation
