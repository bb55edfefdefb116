// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/rank_table.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace ferment::worker {
namespace {

/// Processor time between two beats below this is that of sleeping threads' timers.
constexpr std::uint64_t kIdleMicroseconds = 1000;

std::chrono::milliseconds Between(MonotonicTime since, MonotonicTime now) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(now - since);
}

bool SamePlace(const RankSign& a, const RankSign& b) {
  return a.step == b.step && a.collectives == b.collectives && a.activity == b.activity && a.waiting == b.waiting;
}

/// Returns: of two findings, the one that has lasted longer.
void KeepLonger(std::optional<Verdict>& kept, const Verdict& other) {
  if (!kept || other.since > kept->since) kept = other;
}

}  // namespace

const char* NameOf(Fate fate) {
  switch (fate) {
    case Fate::kDead:
      return "dead";
    case Fate::kStopped:
      return "stopped";
    case Fate::kStuck:
      return "stuck";
  }
  return "unknown";
}

RankTable::RankTable(int size, const WatchLimits& limits, MonotonicTime now)
    : limits_(limits), rows_(static_cast<std::size_t>(size)), judged_(now) {
  FERMENT_CHECK(size > 0) << "size=" << size;
  Forgive(now);
}

void RankTable::HearSign(int rank, const RankSign& sign, MonotonicTime now) {
  Row& row = RowOf(rank);
  const bool worked = sign.at_disk || sign.cpu_microseconds >= row.sign.cpu_microseconds + kIdleMicroseconds;
  if (!SamePlace(sign, row.sign)) {
    row.moved = row.worked = now;
    row.told = false;
  }
  if (worked) row.worked = now;
  row.heard = now;
  row.sign = sign;
}

void RankTable::HearFarewell(int rank) { RowOf(rank).left = true; }

void RankTable::HearEnd(int rank, MonotonicTime now) {
  Row& row = RowOf(rank);
  if (!row.left && !row.ended) row.ended = now;
}

bool RankTable::AllHaveLeft() const {
  return std::all_of(rows_.begin(), rows_.end(), [](const Row& row) { return row.left; });
}

std::vector<double> RankTable::IdleSeconds(MonotonicTime now) const {
  std::vector<double> idle;
  for (const Row& row : rows_) idle.push_back(row.left ? 0 : std::chrono::duration<double>(now - row.moved).count());
  return idle;
}

std::optional<Verdict> RankTable::Judge(MonotonicTime now) {
  const bool late = now - judged_ > limits_.late;
  judged_ = now;
  if (late) Forgive(now);
  if (auto dead = JudgeDead(now)) return dead;
  if (auto stopped = JudgeStopped(now)) return stopped;
  if (auto idle = JudgeIdle(now)) return idle;
  return Awaited(now, limits_.wait);
}

std::optional<Verdict> RankTable::NewlyAwaited(MonotonicTime now) {
  auto awaited = Awaited(now, limits_.patience);
  if (!awaited || std::exchange(RowOf(awaited->rank).told, true)) return std::nullopt;
  return awaited;
}

void RankTable::Forgive(MonotonicTime now) {
  for (Row& row : rows_) {
    row.heard = row.moved = row.worked = now;
    row.told = false;
  }
}

std::optional<Verdict> RankTable::JudgeDead(MonotonicTime now) const {
  std::optional<Verdict> verdict;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    const Row& row = rows_[r];
    if (row.left || !row.ended || now - *row.ended < limits_.farewell) continue;
    KeepLonger(verdict, {static_cast<int>(r), Fate::kDead, Between(*row.ended, now), row.sign});
  }
  return verdict;
}

std::optional<Verdict> RankTable::JudgeStopped(MonotonicTime now) const {
  std::optional<Verdict> verdict;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    const Row& row = rows_[r];
    if (row.left || row.ended || now - row.heard < limits_.silence) continue;
    KeepLonger(verdict, {static_cast<int>(r), Fate::kStopped, Between(row.heard, now), row.sign});
  }
  return verdict;
}

std::optional<Verdict> RankTable::JudgeIdle(MonotonicTime now) const {
  std::optional<Verdict> outside;
  std::optional<Verdict> inside;
  bool awaited = false;
  bool polled = false;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    const Row& row = rows_[r];
    if (row.left) continue;
    if (now - row.moved < limits_.idle) return std::nullopt;  // the job goes on
    const bool asleep = now - row.worked >= limits_.idle;
    const Verdict stuck = {static_cast<int>(r), Fate::kStuck, Between(row.worked, now), row.sign};
    if (row.sign.waiting) {
      awaited = true;
      if (asleep) {
        KeepLonger(inside, stuck);
      } else {
        polled = true;
      }
    } else if (asleep && row.sign.activity == Activity::kStepping) {
      KeepLonger(outside, stuck);
    } else {
      return std::nullopt;  // it works, or does what may take its time
    }
  }
  if (!awaited) return std::nullopt;
  if (outside) return outside;
  // Who waits polls, unless the backend lets all of them sleep.
  return polled ? inside : std::nullopt;
}

std::optional<Verdict> RankTable::Awaited(MonotonicTime now, std::chrono::milliseconds limit) const {
  std::optional<Verdict> verdict;
  bool awaited = false;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    const Row& row = rows_[r];
    if (row.left || now - row.moved < limit) continue;
    if (row.sign.waiting) {
      awaited = true;
    } else {
      KeepLonger(verdict, {static_cast<int>(r), Fate::kStuck, Between(row.moved, now), row.sign});
    }
  }
  return awaited ? verdict : std::nullopt;
}

}  // namespace ferment::worker
