// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "common/base/out_of_memory.h"
#include "coordinator/store/sqlite_event_store.h"
#include "tests/support/engine_harness.h"

namespace {

/// Allocations that are granted yet.
long granted = std::numeric_limits<long>::max();
bool for_good = false;

bool Refused() {
  if (granted == std::numeric_limits<long>::max()) return false;
  if (granted > 0) {
    --granted;
    return false;
  }
  if (!for_good) granted = std::numeric_limits<long>::max();
  errno = ENOMEM;
  return true;
}

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t size);                     // NOLINT(bugprone-reserved-identifier): glibc's
void* __libc_calloc(std::size_t count, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* before, std::size_t size);      // NOLINT(bugprone-reserved-identifier)

// In the place of libc's, for this whole program, and so for SQLite, protobuf and `new`.
void* malloc(std::size_t size) noexcept { return Refused() ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) noexcept { return Refused() ? nullptr : __libc_calloc(count, size); }
void* realloc(void* before, std::size_t size) noexcept { return Refused() ? nullptr : __libc_realloc(before, size); }
}

namespace ferment::testing {
namespace {

namespace fs = std::filesystem;
using coordinator::Job;

constexpr std::uint64_t kShards = 4;
constexpr char kRunDir[] = "/runs/small";
/// Each of the first allocations fails once, and then one in so many.
constexpr long kEach = 120;
constexpr long kStride = 83;
/// How a life leaves that needed no more allocations than there were.
constexpr int kMetNone = 3;

/// What a life has been told is safe; in memory that outlives it.
struct Acknowledged {
  volatile int runs = 0;
  volatile int commits = 0;
};

/// From the store's opening to the last commit of a label job. Returns: false where it was told of a failure.
bool Live(const fs::path& file, Acknowledged& acknowledged) {
  auto store = coordinator::OpenSqliteEventStore(file);
  if (!store) return false;
  EngineWorld world;
  world.run_files.label_shards = kShards;
  EngineHarness engine(world, *std::move(store));
  if (!engine.restored().ok()) return false;
  const auto run_id = engine->runs().Submit({"submit", SmallSpec(), kRunDir});
  if (!run_id || !engine.Settle().ok()) return false;
  acknowledged.runs = 1;
  const auto token = engine->trainers().TakeToken({*run_id, "teacher", 1, "incarnation", "host", 1, kRunDir});
  if (!token) return false;
  const coordinator::TrainerResult trained{{64, 1.5, 1000}, {{"teacher", "t", "t"}, {"student", "s", "s"}}, {}};
  if (!engine->trainers().Complete({*run_id, "teacher", *token}, trained).ok()) return false;
  world.launcher.Exit("teacher/1", 0);
  if (!engine.Settle().ok()) return false;
  const auto labeler = engine->labelers().Register({"labeler", "1", "avx2"});
  if (!labeler) return false;
  for (std::uint64_t i = 0; i < kShards; ++i) {
    const auto answer = engine->leases().Lease({labeler->labeler_id, 1});
    if (!answer || answer->leases.size() != 1) return false;
    const coordinator::GrantedLease& lease = answer->leases[0];
    coordinator::ShardResult result;
    result.key = lease.key;
    result.files = {{lease.job->work.models.at(0).output_dir + "/a.npz", "sha"}};
    result.counts.read = result.counts.labelled = lease.shard.record_count;
    if (!engine->leases().Commit(result) || !engine.Settle().ok()) return false;
    acknowledged.commits = static_cast<int>(i + 1);
  }
  return true;
}

/// The next coordinator on this store knows all that was acknowledged, and is none the worse for how the last one
/// ended.
void ExpectNothingLost(const fs::path& file, const Acknowledged& acknowledged) {
  auto store = coordinator::OpenSqliteEventStore(file);
  ASSERT_TRUE(store) << store.error().ToString();
  EngineWorld world;
  world.run_files.label_shards = kShards;
  EngineHarness engine(world, *std::move(store));
  ASSERT_TRUE(engine.restored().ok()) << engine.restored().ToString();
  ASSERT_GE(engine->book().run_order().size(), static_cast<std::size_t>(acknowledged.runs));
  if (acknowledged.commits == 0) return;
  const Job& job = *engine->book().FindRun(engine->book().run_order().at(0))->FindJob("label");
  EXPECT_GE(job.committed, static_cast<std::uint64_t>(acknowledged.commits));
}

class MemoryFaults : public ::testing::Test {
 protected:
  MemoryFaults()
      : folder_(fs::path(::testing::TempDir()) / ("memory-faults-" + std::to_string(getpid()))),
        file_(folder_ / "ferment.db"),
        acknowledged_(static_cast<Acknowledged*>(
            mmap(nullptr, sizeof(Acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~MemoryFaults() override {
    munmap(acknowledged_, sizeof(Acknowledged));
    fs::remove_all(folder_);
  }

  /// Returns: how a life ended, as waitpid tells it, in which the allocation after so many fails, or all from there on.
  int LiveShortOf(long allocations, bool from_then_on) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    *acknowledged_ = {};
    const pid_t child = fork();
    if (child == 0) {
      // A coordinator's own words about it are not this test's.
      if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(2);
      EndWhereMemoryIsOut();
      for_good = from_then_on;
      granted = allocations;
      const bool well = Live(file_, *acknowledged_);
      _exit(granted > 0 && granted < std::numeric_limits<long>::max() ? kMetNone : well ? 0 : 1);
    }
    int ended = 0;
    EXPECT_EQ(waitpid(child, &ended, 0), child);
    return ended;
  }

  const fs::path folder_;
  const fs::path file_;
  Acknowledged* const acknowledged_;
};

TEST_F(MemoryFaults, WhicheverAllocationFailsTheCoordinatorEndsInOrderAndNothingAcknowledgedIsLost) {
  int out_of_memory = 0;
  int told = 0;
  int unharmed = 0;
  for (const bool from_then_on : {false, true}) {
    for (long allocations = 0;; allocations += allocations < kEach ? 1 : kStride) {
      SCOPED_TRACE("allocations=" + std::to_string(allocations) + (from_then_on ? " and no more" : ""));
      const int ended = LiveShortOf(allocations, from_then_on);
      ASSERT_TRUE(WIFEXITED(ended)) << "signal=" << WTERMSIG(ended);
      ExpectNothingLost(file_, *acknowledged_);
      if (HasFatalFailure()) return;
      const int code = WEXITSTATUS(ended);
      if (code == kMetNone) break;
      ++(code == exit_code::kKilled ? out_of_memory : code == 0 ? unharmed : told);
    }
  }
  std::printf("lives: %d ended out of memory, %d were told, %d unharmed\n", out_of_memory, told, unharmed);
  EXPECT_GT(out_of_memory, 100);
  EXPECT_GT(told, 10) << "SQLite says that it has no memory, and the store passes it on";
}

}  // namespace
}  // namespace ferment::testing
