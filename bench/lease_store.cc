// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "common/config/spec_loader.h"
#include "common/io/atomic_file.h"
#include "coordinator/core/pipeline.h"
#include "coordinator/store/sqlite_event_store.h"

// Writes the log of a coordinator whose last run is being labelled, with as many shards and as long a past as asked
// for.
namespace ferment::bench {
namespace {

using coordinator::Event;

const std::string kLabels = "labels/faces/cccccccccccccccc/dddddddddddddddd";
constexpr std::size_t kEventsAtOnce = 10'000;
struct Options {
  std::filesystem::path store;
  std::filesystem::path run_dir;
  std::filesystem::path spec;
  std::uint64_t shards = 100'000;
  std::uint64_t committed = 0;
  std::uint64_t events = 0;
  int past_runs = 0;
};

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

void WriteUpToLabelling(const std::string& run, const Options& options, const RunSpec& spec, LogWriter& log) {
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

/// Leases that expired, and then those that were committed.
void WriteLeases(const std::string& run, const Options& options, LogWriter& log) {
  std::vector<std::uint64_t> epochs(options.shards, 0);
  const std::uint64_t needed = 2 * options.committed;
  for (std::uint64_t shard = options.committed; log.written() + needed + 1 < options.events;
       shard = shard + 1 < options.shards ? shard + 1 : options.committed) {
    const coordinator::LeaseKey key{run, "label", shard, ++epochs[shard]};
    log.Write(coordinator::ShardLeased{key, "past/1"});
    log.Write(coordinator::ShardReleased{key, coordinator::ReleaseReason::kExpired, ""});
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
                                          {},
                                          60,
                                          60,
                                          1});
  }
}

void WritePastRun(const std::string& run, Options options, const RunSpec& spec, LogWriter& log) {
  options.run_dir += "-" + run;
  options.committed = options.shards;
  options.events = 0;
  WriteUpToLabelling(run, options, spec, log);
  WriteLeases(run, options, log);
  log.Write(coordinator::JobEnded{run, "label", coordinator::JobState::kSucceeded, {}, 4});
  log.Write(coordinator::RunEnded{run, coordinator::RunState::kSucceeded, {}, 5});
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Writes a coordinator's log.", "lease_store");
  app.add_option("--store", options.store, "SQLite file; must not exist")->required();
  app.add_option("--run-dir", options.run_dir, "The run's folder; is made")->required();
  app.add_option("--spec", options.spec)->required();
  app.add_option("--shards", options.shards)->capture_default_str();
  app.add_option("--committed", options.committed, "Shards with a result")->capture_default_str();
  app.add_option("--events", options.events, "Rows in all, by leases that expired")->capture_default_str();
  app.add_option("--past-runs", options.past_runs, "Runs that have ended, each with as many shards")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
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
  WriteUpToLabelling("bench-1", options, loaded->spec, log);
  WriteLeases("bench-1", options, log);
  log.Flush();
  std::cout << log.written() << std::endl;
  return 0;
}

}  // namespace
}  // namespace ferment::bench

int main(int argc, char** argv) { return ferment::bench::Main(argc, argv); }
