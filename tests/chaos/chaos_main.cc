// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "common/base/check.h"
#include "common/base/logging.h"
#include "tests/chaos/chaos_round.h"
#include "tests/chaos/process_marks.h"
#include "tests/support/postgres_server.h"

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::uint64_t first = 1;
  std::uint64_t count = 1;
  std::string kind;
  std::string store;
  std::string folder;
  int records = 0;
  int seconds = 0;
  int rarity = 0;
  bool calm = false;
  bool keep = false;
  bool takes_long = false;
  bool steady = false;
};

RoundPlan PlanFor(std::uint64_t seed, const Flags& flags) {
  RoundPlan plan = PlanOf(seed);
  if (flags.kind == "soak") {
    plan = SoakOf(seed);
  } else if (!flags.kind.empty()) {
    const auto kind = flags.kind == "whole" ? RoundKind::kWholeRun : RoundKind::kLeaseStorm;
    if (kind != plan.kind) plan = PlanOf(kind == RoundKind::kWholeRun ? 6 * seed : 6 * seed + 1);
    plan.seed = seed;
  }
  if (!flags.store.empty()) plan.postgres = flags.store == "postgres";
  if (flags.records > 0) plan.records = flags.records;
  if (flags.seconds > 0) plan.faults = std::chrono::seconds(flags.seconds);
  if (flags.rarity > 0) plan.rarity = flags.rarity;
  plan.calm = flags.calm;
  plan.clocks = plan.clocks && !flags.steady;
  return plan;
}

/// The database server of all rounds, started when the first one needs it.
class Database {
 public:
  bool Missing() const { return !testing::PostgresServer::Installed(); }
  std::string Fresh() {
    if (!server_) server_ = testing::PostgresServer::Start();
    FERMENT_CHECK(server_ != nullptr) << "no PostgreSQL server";
    return server_->FreshDatabase();
  }
  void Crash() {
    server_->Stop();
    server_->StartAgain();
  }

 private:
  std::unique_ptr<testing::PostgresServer> server_;
};

std::string Seconds(std::chrono::milliseconds time) {
  const auto tenths = (time.count() + 50) / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

void Print(const RoundPlan& plan, const RoundOutcome& outcome) {
  std::string line = "seed=" + std::to_string(plan.seed) + (plan.calm ? " calm " : " ") + NameOf(plan.kind) +
                     (plan.postgres ? " postgres" : " sqlite") + " labelers=" + std::to_string(plan.labelers) +
                     (plan.clocks ? " clocks move" : "") + ": " + Seconds(outcome.took) + " s, the last " +
                     Seconds(outcome.quiet) + " quiet; leases=" + std::to_string(outcome.leases) +
                     " commits=" + std::to_string(outcome.commits_acknowledged) +
                     " refused=" + std::to_string(outcome.commits_refused) +
                     " ends=" + std::to_string(outcome.restarts) + " terms=" + std::to_string(outcome.terms) + ";";
  for (const auto& [name, count] : outcome.faults) line += " " + name + "=" + std::to_string(count);
  std::printf("%s\n", line.c_str());
  for (const std::string& held : outcome.held) std::printf("  %s\n", held.c_str());
  for (const Breach& breach : outcome.breaches) std::printf("  %s: %s\n", breach.promise.c_str(), breach.what.c_str());
}

/// The rounds of one invocation.
class Rounds {
 public:
  Rounds(const Flags& flags, std::string mark) : flags_(flags), mark_(std::move(mark)) {}

  int Run() {
    for (std::uint64_t seed = flags_.first; seed < flags_.first + flags_.count; ++seed) {
      const RoundPlan plan = PlanFor(seed, flags_);
      if (plan.postgres && database_.Missing()) {
        std::printf("seed=%llu left out: PostgreSQL 15 is not installed\n", static_cast<unsigned long long>(seed));
        continue;
      }
      if (plan.kind == RoundKind::kWholeRun && flags_.count > 1 && !undisturbed_) {
        RoundPlan calm = plan;
        calm.calm = true;
        if (!Passes(calm)) return 1;
      }
      if (!Passes(plan)) return 1;
    }
    std::printf("%d rounds, %d commits taken, no promise broken;", rounds_, commits_);
    for (const auto& [name, count] : faults_) std::printf(" %s=%d", name.c_str(), count);
    std::printf("\n");
    return 0;
  }

 private:
  RoundOutcome Make(const RoundPlan& plan, const fs::path& folder) {
    fs::remove_all(folder);
    fs::create_directories(folder);
    RoundSurroundings around{folder, mark_ + "/" + std::to_string(plan.seed), "", [this, &around] {
                               MarkDescendants(mark_);
                               database_.Crash();
                               MarkDescendants(around.mark);
                             }};
    if (plan.postgres) around.database = database_.Fresh();
    MarkDescendants(around.mark);
    RoundOutcome outcome = RunRound(plan, around);
    MarkDescendants(mark_);
    EndMarked(around.mark);
    return outcome;
  }

  bool Passes(const RoundPlan& plan) {
    const fs::path folder = fs::path(flags_.folder) / ("seed-" + std::to_string(plan.seed));
    RoundOutcome outcome = Make(plan, folder);
    if (plan.kind == RoundKind::kWholeRun && outcome.breaches.empty()) CompareWholeRuns(outcome);
    Print(plan, outcome);
    std::fflush(stdout);
    if (!outcome.breaches.empty()) {
      std::printf("replay: build/release/tests/chaos_rounds %s\nleft for a look: %s\n", FlagsOf(plan).c_str(),
                  folder.c_str());
      return false;
    }
    ++rounds_;
    commits_ += outcome.commits_acknowledged;
    for (const auto& [name, count] : outcome.faults) faults_[name] += count;
    if (!flags_.keep) fs::remove_all(folder);
    return true;
  }

  /// Whole runs are all the same run: what they bring is the same, bit for bit, as when nothing was broken.
  void CompareWholeRuns(RoundOutcome& outcome) {
    if (!undisturbed_) {
      undisturbed_ = outcome.digests;
      return;
    }
    for (const auto& [job, digest] : *undisturbed_) {
      if (outcome.digests[job] == digest) continue;
      outcome.breaches.push_back({"P11", "a job brought something else than in the first round: job=" + job +
                                             " first=" + digest + " now=" + outcome.digests[job]});
    }
  }

  const Flags flags_;
  const std::string mark_;
  Database database_;
  std::optional<std::map<std::string, std::string>> undisturbed_;
  std::map<std::string, int> faults_;
  int commits_ = 0;
  int rounds_ = 0;
};

int Main(int argc, char** argv) {
  const std::string mark = NewMark();
  MarkDescendants(mark);
  StartSweeper(mark);
  Flags flags;
  CLI::App app("Breaks clusters of real processes and judges what they did", "chaos_rounds");
  app.add_option("--first", flags.first, "seed of the first round");
  app.add_option("--count", flags.count, "rounds");
  app.add_option("--kind", flags.kind, "storm, whole or soak; else the seed says the first or the second")
      ->check(CLI::IsMember({"storm", "whole", "soak"}));
  app.add_option("--store", flags.store, "else the seed says")->check(CLI::IsMember({"sqlite", "postgres"}));
  app.add_option("--records", flags.records, "faces to label in a storm, eight a shard");
  app.add_option("--seconds", flags.seconds, "how long things break");
  app.add_option("--rarity", flags.rarity, "how many times less often things break; 20 in a soak")
      ->check(CLI::PositiveNumber);
  app.add_option("--folder", flags.folder, "where rounds leave their files")->default_val("build/chaos");
  app.add_flag("--calm", flags.calm, "break nothing");
  app.add_flag("--steady", flags.steady, "move no clocks");
  app.add_flag("--long", flags.takes_long, "leave with 77 unless FERMENT_LONG_TESTS is set");
  app.add_flag("--keep", flags.keep, "leave the files of rounds that went well, too");
  CLI11_PARSE(app, argc, argv);
  if (flags.takes_long && std::getenv("FERMENT_LONG_TESTS") == nullptr) {
    std::puts("skipped: it takes minutes; set FERMENT_LONG_TESTS=1 or run `make test-long`");
    return 77;
  }
  SetUpLogging({.program = "chaos_rounds", .level = LogLevel::kWarning});
  flags.folder = fs::absolute(flags.folder).string();
  return Rounds(flags, mark).Run();
}

}  // namespace
}  // namespace ferment::chaos

int main(int argc, char** argv) { return ferment::chaos::Main(argc, argv); }
