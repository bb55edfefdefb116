// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "common/base/check.h"
#include "common/base/logging.h"
#include "tests/chaos/chaos_cluster.h"
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
  bool calm = false;
  bool keep = false;
};

RoundPlan PlanFor(std::uint64_t seed, const Flags& flags) {
  RoundPlan plan = PlanOf(seed);
  if (!flags.kind.empty()) {
    const auto kind = flags.kind == "whole" ? RoundKind::kWholeRun : RoundKind::kLeaseStorm;
    if (kind != plan.kind) plan = PlanOf(kind == RoundKind::kWholeRun ? 6 * seed : 6 * seed + 1);
    plan.seed = seed;
  }
  if (!flags.store.empty()) plan.postgres = flags.store == "postgres";
  if (flags.records > 0) plan.records = flags.records;
  if (flags.seconds > 0) plan.faults = std::chrono::seconds(flags.seconds);
  plan.calm = flags.calm;
  plan.clocks = plan.clocks && !FakeTimeLibrary().empty();
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

void Print(const RoundPlan& plan, const RoundOutcome& outcome) {
  std::string faults;
  for (const auto& [name, count] : outcome.faults) faults += " " + name + "=" + std::to_string(count);
  std::printf(
      "seed=%llu %s %s labelers=%d clocks=%s: %.1f s, %d leases, %d commits taken, %d refused, %d restarts, "
      "%llu terms;%s\n",
      static_cast<unsigned long long>(plan.seed), plan.kind == RoundKind::kWholeRun ? "whole run" : "storm",
      plan.postgres ? "postgres" : "sqlite", plan.labelers, plan.clocks ? "move" : "steady",
      static_cast<double>(outcome.took.count()) / 1000, outcome.leases, outcome.commits_acknowledged,
      outcome.commits_refused, outcome.restarts, static_cast<unsigned long long>(outcome.terms), faults.c_str());
  for (const Breach& breach : outcome.breaches) std::printf("  %s: %s\n", breach.promise.c_str(), breach.what.c_str());
}

/// Whole runs of one invocation are the same run: what they bring is the same, bit for bit.
void CompareWholeRuns(const RoundPlan& plan, std::optional<std::map<std::string, std::string>>& former,
                      RoundOutcome& outcome) {
  if (plan.kind != RoundKind::kWholeRun || !outcome.breaches.empty()) return;
  if (!former) {
    former = outcome.digests;
    return;
  }
  for (const auto& [job, digest] : *former) {
    if (outcome.digests[job] == digest) continue;
    outcome.breaches.push_back({"P11", "a job brought something else than in the round before: job=" + job +
                                           " before=" + digest + " now=" + outcome.digests[job]});
  }
}

int RunRounds(const Flags& flags, const std::string& mark) {
  Database database;
  std::optional<std::map<std::string, std::string>> whole;
  std::map<std::string, int> faults;
  int commits = 0;
  for (std::uint64_t seed = flags.first; seed < flags.first + flags.count; ++seed) {
    const RoundPlan plan = PlanFor(seed, flags);
    if (plan.postgres && database.Missing()) {
      std::printf("seed=%llu left out: PostgreSQL 15 is not installed\n", static_cast<unsigned long long>(seed));
      continue;
    }
    RoundSurroundings around{fs::path(flags.folder) / ("seed-" + std::to_string(seed)), "", "",
                             [&database, &mark, seed] {
                               MarkDescendants(mark);
                               database.Crash();
                               MarkDescendants(mark + "/" + std::to_string(seed));
                             }};
    fs::remove_all(around.folder);
    fs::create_directories(around.folder);
    if (plan.postgres) around.database = database.Fresh();
    around.mark = mark + "/" + std::to_string(seed);
    MarkDescendants(around.mark);
    RoundOutcome outcome = RunRound(plan, around);
    MarkDescendants(mark);
    EndMarked(around.mark);
    CompareWholeRuns(plan, whole, outcome);
    Print(plan, outcome);
    std::fflush(stdout);
    if (!outcome.breaches.empty()) {
      std::printf("replay: build/release/tests/chaos_rounds %s\nleft for a look: %s\n", FlagsOf(plan).c_str(),
                  around.folder.c_str());
      return 1;
    }
    for (const auto& [name, count] : outcome.faults) faults[name] += count;
    commits += outcome.commits_acknowledged;
    if (!flags.keep) fs::remove_all(around.folder);
  }
  std::printf("%llu rounds, %d commits taken, no promise broken;", static_cast<unsigned long long>(flags.count),
              commits);
  for (const auto& [name, count] : faults) std::printf(" %s=%d", name.c_str(), count);
  std::printf("\n");
  return 0;
}

int Main(int argc, char** argv) {
  const std::string mark = NewMark();
  MarkDescendants(mark);
  StartSweeper(mark);
  Flags flags;
  CLI::App app("Breaks clusters of real processes and judges what they did", "chaos_rounds");
  app.add_option("--first", flags.first, "seed of the first round");
  app.add_option("--count", flags.count, "rounds");
  app.add_option("--kind", flags.kind, "storm or whole; else the seed says")->check(CLI::IsMember({"storm", "whole"}));
  app.add_option("--store", flags.store, "else the seed says")->check(CLI::IsMember({"sqlite", "postgres"}));
  app.add_option("--records", flags.records, "faces to label in a storm, eight a shard");
  app.add_option("--seconds", flags.seconds, "how long things break");
  app.add_option("--folder", flags.folder, "where rounds leave their files")->default_val("build/chaos");
  app.add_flag("--calm", flags.calm, "break nothing");
  app.add_flag("--keep", flags.keep, "leave the files of rounds that went well, too");
  CLI11_PARSE(app, argc, argv);
  SetUpLogging({.program = "chaos_rounds", .level = LogLevel::kWarning});
  flags.folder = fs::absolute(flags.folder).string();
  return RunRounds(flags, mark);
}

}  // namespace
}  // namespace ferment::chaos

int main(int argc, char** argv) { return ferment::chaos::Main(argc, argv); }
