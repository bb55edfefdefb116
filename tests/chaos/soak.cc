// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/soak.h"

#include <algorithm>
#include <limits>

#include "coordinator/core/job_book.h"
#include "coordinator/store/event_codec.h"

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr std::ptrdiff_t kTogether = 2;
/// Folders of runs that have ended.
constexpr std::size_t kKept = 6;
constexpr seconds kLookEvery{2};
constexpr seconds kDiskEvery{15};
constexpr seconds kRemoveEvery{60};
/// A command is a process of its own, with a handshake.
constexpr std::chrono::milliseconds kPause{1'500};

std::deque<Wish> WishesOf(std::size_t number) {
  using enum Wish;
  if (number % 5 == 2) {
    return {kSubmit, kWaitForCommits, kCancel, kWaitForEnd, kSubmit, kCancel, kWaitForEnd, kSubmit, kWaitForEnd};
  }
  if (number % 5 == 4) return {kSubmit, kWaitForCommits, kCancel, kWaitForEnd};
  return {kSubmit, kWaitForEnd};
}

double BytesBelow(const fs::path& folder) {
  double bytes = 0;
  std::error_code gone;  // files come and go meanwhile
  for (fs::recursive_directory_iterator entry(folder, gone), end; !gone && entry != end; entry.increment(gone)) {
    std::error_code missing;
    const std::uintmax_t size = entry->is_regular_file(missing) ? entry->file_size(missing) : 0;
    if (!missing) bytes += static_cast<double>(size);
  }
  return bytes;
}

/// What a coordinator remembers of a run, and of each of its shards, and half as much again for what malloc
/// loses between; docs/operations.md says so too.
constexpr double kBookBytesARun = 30 << 10;
constexpr double kBookBytesAShard = 768;

double MibOf(const coordinator::JobBook& book) {
  return (static_cast<double>(book.run_order().size()) * kBookBytesARun +
          static_cast<double>(book.CountShards()) * kBookBytesAShard) /
         (1 << 20);
}

struct Remembered {
  coordinator::JobBook in_the_end;
  /// MiB, since `begin`: as of each look at the log.
  std::vector<Reading> mib = {{}};
};

Remembered RememberedOf(const std::vector<StoredRow>& rows, const std::vector<StoreMark>& marks, Instant begin) {
  Remembered remembered;
  auto mark = marks.begin();
  const auto note_marks_before = [&](std::int64_t sequence) {
    for (; mark != marks.end() && mark->last_sequence < sequence; ++mark) {
      const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(mark->at - begin.time_since_epoch());
      remembered.mib.push_back({at, MibOf(remembered.in_the_end)});
    }
  };
  for (const StoredRow& row : rows) {
    note_marks_before(row.sequence);
    const auto event = coordinator::DecodeEvent(row.body);
    if (event && !coordinator::OfSnapshot(*event)) remembered.in_the_end.Apply(*event);
  }
  note_marks_before(std::numeric_limits<std::int64_t>::max());
  return remembered;
}

/// What a coordinator that starts anew would read after a snapshot taken now.
std::string Describe(const coordinator::JobBook& book, std::size_t events, std::size_t audited_bytes) {
  std::size_t bytes = 0;
  (void)book.Snapshot([&](const coordinator::Event& event) {
    bytes += coordinator::EncodeEvent(event).size();
    return Status();
  });
  const std::size_t runs = std::max<std::size_t>(1, book.run_order().size());
  return "runs " + std::to_string(book.run_order().size()) + ", shards " + std::to_string(book.CountShards()) +
         ", events " + std::to_string(events) + "; a snapshot of all: " + std::to_string(bytes) + " bytes, " +
         std::to_string(bytes / runs) + " a run; audit logs: " + std::to_string(audited_bytes / runs) + " bytes a run";
}

}  // namespace

Soak::Soak(ChaosCluster& cluster, std::deque<Person>& people, std::string spec)
    : cluster_(cluster),
      people_(people),
      spec_(std::move(spec)),
      watch_(cluster.options().folder / "resources.tsv", begin_) {}

void Soak::Invite() {
  const auto at_work = std::count_if(people_.begin(), people_.end(), [](const Person& one) { return !one.done(); });
  for (auto i = at_work; i < kTogether; ++i) {
    const std::size_t number = people_.size();
    const fs::path run_dir = cluster_.options().folder / ("run-" + std::to_string(number));
    people_.emplace_back(cluster_, spec_, run_dir.string(), WishesOf(number), kPause);
  }
}

void Soak::Watch(Instant now) {
  NoteEnds(now);
  if (now >= next_look_) {
    next_look_ = now + kLookEvery;
    LookAtProcesses(now);
  }
  if (now >= next_disk_look_) {
    next_disk_look_ = now + kDiskEvery;
    LookAtDisk(now);
  }
  if (now >= next_removal_) {
    next_removal_ = now + kRemoveEvery;
    RemoveOldRuns();
  }
}

void Soak::NoteEnds(Instant now) {
  for (const Person& person : people_) {
    if (person.done() && seen_ended_.insert(&person).second) ended_.emplace_back(now.time_since_epoch(), &person);
  }
}

void Soak::LookAtProcesses(Instant now) {
  const int leads = cluster_.leader();
  for (int i = 0; i < ChaosCluster::kCoordinators; ++i) {
    const ChaosProcess& coordinator = cluster_.coordinator(i);
    if (!coordinator.running()) continue;
    watch_.LookAt(now, coordinator.name() + (i == leads ? " leads" : " stands by"), coordinator.pid());
  }
  for (const auto& labeler : cluster_.labelers()) {
    if (labeler->running()) watch_.LookAt(now, labeler->name(), labeler->pid());
  }
}

void Soak::LookAtDisk(Instant now) {
  double kept = 0;
  for (const auto& [at, person] : ended_) kept += BytesBelow(person->run_dir());
  if (ended_.size() >= kKept) watch_.Take(now, "run folders", "bytes", kept / static_cast<double>(ended_.size()));
  if (const auto bytes = StoreBytes(cluster_.options().store)) watch_.Take(now, "store", "bytes", *bytes);
}

void Soak::RemoveOldRuns() {
  cluster_.LookAtStore();
  if (cluster_.marks().empty() || ended_.size() <= kKept) return;
  std::vector<Breach> told_in_the_end;
  const LogFacts facts = JudgeLog(cluster_.rows(), told_in_the_end);
  LogFacts going;
  for (; ended_.size() > kKept && ended_.front().first < cluster_.marks().back().at; ended_.pop_front()) {
    const Person& person = *ended_.front().second;
    going.runs = {{person.run_id(), facts.Run(person.run_id())}};
    JudgeFolders(going, cluster_.breaches());
    removed_.insert(person.run_id());
    fs::remove_all(person.run_dir());
    fs::remove(person.run_dir() + ".out");
  }
}

std::vector<std::string> Soak::Judge(std::vector<Breach>& breaches) const {
  const Remembered remembered = RememberedOf(cluster_.rows(), cluster_.marks(), begin_);
  std::vector<std::string> lines = JudgeSeries(watch_.series(), remembered.mib, breaches);
  std::size_t audited_bytes = 0;
  for (int i = 0; i < ChaosCluster::kCoordinators; ++i) {
    std::error_code missing;
    const std::uintmax_t size = fs::file_size(cluster_.AuditFile(i), missing);
    if (!missing) audited_bytes += size;
  }
  lines.push_back(Describe(remembered.in_the_end, cluster_.rows().size(), audited_bytes));
  return lines;
}

}  // namespace ferment::chaos
