// SPDX-License-Identifier: Apache-2.0
#include "bench/lease_log.h"

#include <stdexcept>
#include <vector>

#include "common/config/spec_loader.h"
#include "common/io/atomic_file.h"
#include "coordinator/core/pipeline.h"
#include "coordinator/store/sqlite_event_store.h"

namespace ferment::bench {
namespace {

using coordinator::Event;

const std::string kLabels = "labels/faces/cccccccccccccccc/dddddddddddddddd";
constexpr std::size_t kEventsAtOnce = 10'000;

/// Collects events and appends them many at a time.
class LogWriter {
 public:
  explicit LogWriter(coordinator::EventStore& store) : store_(store) {}
  void Write(Event event) {
    ++written_;
    waiting_.push_back(std::move(event));
    if (waiting_.size() == kEventsAtOnce) Flush();
  }
  void Flush() {
    const Status status = store_.Append(waiting_);
    if (!status.ok()) throw std::runtime_error(status.ToString());
    waiting_.clear();
  }
  std::uint64_t written() const { return written_; }

 private:
  coordinator::EventStore& store_;
  std::vector<Event> waiting_;
  std::uint64_t written_ = 0;
};

void WriteUpToLabelling(const std::string& run, const LeaseLogOptions& options, const RunSpec& spec, LogWriter& log) {
  log.Write(coordinator::RunSubmitted{run, "submit-" + run, spec.name(), options.run_dir, spec.SerializeAsString(),
                                      coordinator::PlanJobs({.rounds = 1, .has_videos = false}), 1});
  log.Write(coordinator::AttemptIntended{run, "teacher", 1, 2});
  log.Write(coordinator::AttemptLaunched{run, "teacher", 1});
  log.Write(coordinator::TokenTaken{run, "teacher", 1, 1, "i", "host", 1});
  const coordinator::ModelFile teacher{"teacher", "teacher.safetensors", std::string(64, 'c')};
  log.Write(coordinator::JobCompleted{run, "teacher", 1, {}, {teacher}, {}});
  log.Write(coordinator::AttemptExited{run, "teacher", 1, 0, false});
  log.Write(coordinator::JobEnded{run, "teacher", coordinator::JobState::kSucceeded, {}, 3});
  coordinator::ShardsPlanned planned;
  planned.run_id = run;
  planned.job_id = "label";
  planned.work = {
      "faces", std::string(64, 'd'), "", 3'600'000, 0.01, {{"teacher", teacher.file, teacher.sha256, kLabels}}};
  for (std::uint64_t i = 0; i < options.shards; ++i) planned.shards.push_back({"", i * 4096, 4096});
  log.Write(planned);
}

/// Leases that were returned, and then those that were committed.
void WriteLeases(const std::string& run, const LeaseLogOptions& options, LogWriter& log) {
  std::vector<std::uint64_t> epochs(options.shards, 0);
  const std::uint64_t needed = 2 * options.committed;
  for (std::uint64_t shard = options.committed; log.written() + needed + 1 < options.events;
       shard = shard + 1 < options.shards ? shard + 1 : options.committed) {
    const coordinator::LeaseKey key{run, "label", shard, ++epochs[shard]};
    log.Write(coordinator::ShardLeased{key, "past/1"});
    log.Write(coordinator::ShardReleased{key, coordinator::ReleaseReason::kReturned, ""});
  }
  for (std::uint64_t shard = 0; shard < options.committed; ++shard) {
    const coordinator::LeaseKey key{run, "label", shard, ++epochs[shard]};
    log.Write(coordinator::ShardLeased{key, "past/1"});
    const std::string digest = std::string(56, 'b') + std::to_string(10'000'000 + shard);
    const std::string file = kLabels + "/" + std::to_string(1'000'000 + shard) + "-" + digest.substr(0, 16) + ".npz";
    log.Write(coordinator::ShardCommitted{key,
                                          "past/1/" + std::to_string(shard),
                                          {{file, digest}},
                                          {4096, 4000, 96, 0, std::vector<std::uint64_t>(8, 500)},
                                          60,
                                          60,
                                          1});
  }
}

void WritePastRun(const std::string& run, LeaseLogOptions options, const RunSpec& spec, LogWriter& log) {
  options.run_dir += "-" + run;
  options.committed = options.shards;
  options.events = 0;
  WriteUpToLabelling(run, options, spec, log);
  WriteLeases(run, options, log);
  log.Write(coordinator::JobEnded{run, "label", coordinator::JobState::kSucceeded, {}, 4});
  log.Write(coordinator::RunEnded{run, coordinator::RunState::kSucceeded, {}, 5});
}

}  // namespace

std::uint64_t WriteLeaseLog(const LeaseLogOptions& options) {
  const auto loaded = LoadSpec(options.spec);
  if (!loaded) throw std::runtime_error(loaded.error().ToString());
  std::filesystem::create_directories(options.run_dir / kLabels);
  for (const auto& [name, text] :
       {std::pair{std::string("spec.yaml"), SpecToYaml(loaded->spec)}, {kLabels + "/shard.npz", std::string("x")}}) {
    if (const Status status = io::WriteFileAtomically(options.run_dir / name, text); !status.ok()) {
      throw std::runtime_error(status.ToString());
    }
  }
  auto store = coordinator::OpenSqliteEventStore(options.store);
  if (!store) throw std::runtime_error(store.error().ToString());
  LogWriter log(**store);
  log.Write(coordinator::LabelerRegistered{"past/1", "past", "1", "avx2"});
  for (int i = 0; i < options.past_runs; ++i) WritePastRun("past-" + std::to_string(i), options, loaded->spec, log);
  WriteUpToLabelling(kLeaseRun, options, loaded->spec, log);
  WriteLeases(kLeaseRun, options, log);
  log.Flush();
  return log.written();
}

}  // namespace ferment::bench
