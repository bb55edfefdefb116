// SPDX-License-Identifier: Apache-2.0
//
// A coordinator without threads: every task runs when the test says Settle.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/metrics/prometheus_registry.h"
#include "coordinator/scheduler/run_engine.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_event_store.h"
#include "tests/support/recorded_launcher.h"
#include "tests/support/recorded_run_files.h"

namespace ferment::testing {

/// What outlives a coordinator: disk, running jobs, data, time.
struct EngineWorld {
  std::shared_ptr<MemoryLog> log = std::make_shared<MemoryLog>();
  RecordedLauncher launcher;
  RecordedRunFiles run_files;
  ManualClock clock;
  /// Of every coordinator from then on.
  coordinator::RetentionRule retention = {};
};

class QueueRunner final : public coordinator::TaskRunner {
 public:
  void Post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  bool RunOne() {
    if (tasks_.empty()) return false;
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
    return true;
  }

 private:
  std::deque<std::function<void()>> tasks_;
};

/// One incarnation of a coordinator; destroy it and make another on the same world to restart.
class EngineHarness {
 public:
  explicit EngineHarness(EngineWorld& world) : EngineHarness(world, std::make_unique<MemoryEventStore>(world.log)) {}
  EngineHarness(EngineWorld& world, std::unique_ptr<coordinator::EventStore> store)
      : store_(std::move(store)),
        registry_(metrics::MakePrometheusRegistry()),
        metrics_(*registry_),
        engine_({*store_,
                 world.launcher,
                 world.run_files,
                 world.clock,
                 metrics_,
                 [this](coordinator::LauncherKind) -> coordinator::TaskRunner& { return launches_; },
                 files_,
                 [](const RunSpec&, const coordinator::Run& run, const coordinator::Job&) {
                   return coordinator::LaunchRequest{{}, {"mpirun"}, {}, {}, {}, run.run_dir};
                 },
                 [this](std::function<void()> work) { back_.push_back(std::move(work)); },
                 {},
                 world.retention}) {
    restored_ = engine_.Restore();
  }

  coordinator::RunEngine& operator*() { return engine_; }
  coordinator::RunEngine* operator->() { return &engine_; }
  const Status& restored() const { return restored_; }
  coordinator::SchedulerMetrics& metrics() { return metrics_; }
  metrics::MetricRegistry& registry() { return *registry_; }
  /// Returns: every metric in Prometheus' text format.
  std::string Exposition() const { return registry_->Exposition(); }

  /// Polls, saves and runs tasks until nothing moves any more. Returns: the first failure of saving.
  Status Settle() {
    FERMENT_RETURN_IF_ERROR(engine_.Round({}, true));
    while (true) {
      FERMENT_RETURN_IF_ERROR(engine_.Settle());
      bool moved = false;
      while (launches_.RunOne() || files_.RunOne()) moved = true;
      while (!back_.empty()) {
        auto work = std::move(back_.front());
        back_.pop_front();
        work();
        moved = true;
      }
      if (!moved) return {};
    }
  }

 private:
  const std::unique_ptr<coordinator::EventStore> store_;
  std::unique_ptr<metrics::MetricRegistry> registry_;
  coordinator::SchedulerMetrics metrics_;
  QueueRunner launches_;
  QueueRunner files_;
  std::deque<std::function<void()>> back_;
  coordinator::RunEngine engine_;
  Status restored_;
};

/// Returns: a spec that a coordinator accepts.
inline RunSpec SmallSpec(bool videos = true) {
  RunSpec spec;
  spec.set_name("small");
  spec.set_seed(7);
  spec.add_classes("Neutral");
  spec.mutable_teacher()->set_steps(1);
  spec.mutable_cotrain()->set_rounds(1);
  if (videos) spec.mutable_data()->mutable_videos()->set_path("/data/clips");
  return spec;
}

}  // namespace ferment::testing
