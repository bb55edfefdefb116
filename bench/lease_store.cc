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

// Writes the log of a coordinator whose only run is being labelled, with as many shards and as long a past as asked for.
namespace ferment::bench {
namespace {

using coordinator::Event;

constexpr std::size_t kEventsAtOnce = 10'000;
constexpr const char* kRun = "bench-1";

struct Options {
  std::filesystem::path store;
  std::filesystem::path run_dir;
  std::filesystem::path spec;
  std::uint64_t shards = 100'000;
  std::uint64_t committed = 0;
  std::uint64_t events = 0;
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

void WriteUpToLabelling(const Options& options, const RunSpec& spec, LogWriter& log) {
  log.Write(coordinator::RunSubmitted{kRun, "submit", spec.name(), options.run_dir, spec.SerializeAsString(),
                                      coordinator::PlanJobs({.rounds = 1, .has_videos = false}), 1});
  log.Write(coordinator::AttemptIntended{kRun, "teacher", 1, 2});
  log.Write(coordinator::AttemptLaunched{kRun, "teacher", 1});
  log.Write(coordinator::TokenTaken{kRun, "teacher", 1, 1, "i", "host", 1});
  const coordinator::ModelFile teacher{"teacher", "teacher.safetensors", std::string(64, 'c')};
  log.Write(coordinator::JobCompleted{kRun, "teacher", 1, {}, {teacher}, {}});
  log.Write(coordinator::AttemptExited{kRun, "teacher", 1, 0, false});
  log.Write(coordinator::JobEnded{kRun, "teacher", coordinator::JobState::kSucceeded, {}, 3});
  coordinator::ShardsPlanned planned;
  planned.run_id = kRun;
  planned.job_id = "label";
  planned.work = {"faces", std::string(64, 'd'), "", 3'600'000, 0.01, {{"teacher", teacher.file, teacher.sha256, "labels"}}};
  for (std::uint64_t i = 0; i < options.shards; ++i) planned.shards.push_back({"", i * 4096, 4096});
  log.Write(planned);
  log.Write(coordinator::LabelerRegistered{"past/1", "past", "1", "avx2"});
}

void WritePast(const Options& options, LogWriter& log) {
  std::vector<std::uint64_t> epochs(options.shards, 0);
  const std::uint64_t needed = 2 * options.committed;
  for (std::uint64_t shard = options.committed; log.written() + needed + 1 < options.events;
       shard = shard + 1 < options.shards ? shard + 1 : options.committed) {
    const coordinator::LeaseKey key{kRun, "label", shard, ++epochs[shard]};
    log.Write(coordinator::ShardLeased{key, "past/1"});
    log.Write(coordinator::ShardReleased{key, coordinator::ReleaseReason::kExpired, ""});
  }
  for (std::uint64_t shard = 0; shard < options.committed; ++shard) {
    const coordinator::LeaseKey key{kRun, "label", shard, ++epochs[shard]};
    log.Write(coordinator::ShardLeased{key, "past/1"});
    const std::string digest = std::string(56, 'b') + std::to_string(10'000'000 + shard);
    const std::string file = "labels/faces/cccccccccccccccc/dddddddddddddddd/" + std::to_string(1'000'000 + shard) + "-" +
                             digest.substr(0, 16) + ".npz";
    log.Write(coordinator::ShardCommitted{key, "past/1/" + std::to_string(shard), {{file, digest}},
                                          {4096, 4000, 96, 0, std::vector<std::uint64_t>(8, 500)}, {}, 60, 60, 1});
  }
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
  CLI11_PARSE(app, argc, argv);
  const auto loaded = LoadSpec(options.spec);
  if (!loaded) throw std::runtime_error(loaded.error().ToString());
  std::filesystem::create_directories(options.run_dir);
  for (const auto& [name, text] : {std::pair{"spec.yaml", SpecToYaml(loaded->spec)}, {"shard.npz", std::string("x")}}) {
    if (const Status status = io::WriteFileAtomically(options.run_dir / name, text); !status.ok()) {
      throw std::runtime_error(status.ToString());
    }
  }
  auto store = coordinator::OpenSqliteEventStore(options.store);
  if (!store) throw std::runtime_error(store.error().ToString());
  LogWriter log(**store);
  WriteUpToLabelling(options, loaded->spec, log);
  WritePast(options, log);
  log.Flush();
  std::cout << log.written() << std::endl;
  return 0;
}

}  // namespace
}  // namespace ferment::bench

int main(int argc, char** argv) { return ferment::bench::Main(argc, argv); }
