// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "coordinator/core/job_book.h"
#include "coordinator/core/lease_policy.h"
#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {
namespace {

/// Ends one random lease, or grants one; whatever fits the state.
Event RandomEvent(const JobBook& book, RandomSequence& random) {
  const std::vector<LeaseKey> leases = book.AllLeases();
  const Labeler& labeler = *book.FindLabeler(random.Below(2) == 0 ? "a" : "b");
  const LeaseChoice choice =
      ChooseShard(book, labeler, {[] { return std::vector<Present>(); }, [](std::string_view) { return false; }});
  if (choice.kind == LeaseChoice::Kind::kGrant && (leases.empty() || random.Below(2) == 0)) {
    return ShardLeased{choice.key, labeler.labeler_id, 0, choice.alone};
  }
  // The shards that are left killed four of them: nobody may try them before one of the dead is found alive.
  if (leases.empty()) return LabelerReturned{labeler.labeler_id};
  const LeaseKey key = leases[random.Below(leases.size())];
  if (random.Below(10) == 0) {
    ShardCommitted committed;
    committed.key = key;
    committed.counts.read = 10;
    committed.counts.labelled = 10;
    return committed;
  }
  return ShardReleased{key, static_cast<ReleaseReason>(random.Below(4)), ""};
}

TEST(JobBookReplay, TheSameEventsGiveEqualBooksAndEpochsOnlyRise) {
  constexpr std::uint64_t kSeed = 20240318;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  constexpr std::size_t kShards = 200;
  RandomSequence random(kSeed, 1);
  const ShardsPlanned planned{"r", "label", {}, std::vector<PlannedShard>(kShards, {"", 0, 10}), 0};
  std::vector<Event> events = {RunSubmitted{"r", "q", "n", "/d", "", PlanJobs({1, true}), 0}, planned,
                               LabelerRegistered{"a", "a", "1", ""}, LabelerRegistered{"b", "b", "1", ""}};
  JobBook book;
  for (const Event& event : events) book.Apply(event);
  std::vector<std::uint64_t> epochs(kShards, 0);
  while (book.FindJob("r", "label")->committed < kShards) {
    const Event event = RandomEvent(book, random);
    book.Apply(event);
    events.push_back(event);
    for (std::uint64_t i = 0; i < kShards; ++i) {
      ASSERT_GE(book.FindJob("r", "label")->shards[i].epoch, epochs[i]);
      epochs[i] = book.FindJob("r", "label")->shards[i].epoch;
    }
    if (const auto* leased = std::get_if<ShardLeased>(&event)) {
      ASSERT_EQ(leased->key.epoch, epochs[leased->key.shard]);
    }
  }
  JobBook first;
  JobBook second;
  for (const Event& event : events) first.Apply(event);
  for (const Event& event : events) second.Apply(event);
  EXPECT_EQ(first, book);
  EXPECT_EQ(first, second);
}

std::string LettersOf(const std::vector<Shard>& shards) {
  std::string letters;
  for (const Shard& shard : shards) letters += "plcf"[static_cast<int>(shard.state)];
  return letters;
}

TEST(JobBookReplay, TheLettersOfAJobAreThoseOfItsFirstTwentyThousandShards) {
  constexpr std::uint64_t kSeed = 7;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  RandomSequence random(kSeed, 1);
  JobBook book;
  book.Apply(RunSubmitted{"r", "q", "n", "/d", "", PlanJobs({1, true}), 0});
  book.Apply(ShardsPlanned{"r", "label", {}, std::vector<PlannedShard>(20'002, {"", 0, 10}), 0});
  const Job& job = *book.FindJob("r", "label");
  EXPECT_EQ(job.letters, std::string(20'000, 'p'));
  book.Apply(LabelerRegistered{"a", "a", "1", ""});
  book.Apply(LabelerRegistered{"b", "b", "1", ""});
  for (int i = 0; i < 100; ++i) {
    book.Apply(RandomEvent(book, random));
    ASSERT_EQ(job.letters, LettersOf({job.shards.begin(), job.shards.begin() + 20'000}));
  }
  for (const std::uint64_t shard : {19'999, 20'000, 20'001}) {
    book.Apply(ShardLeased{{"r", "label", shard, 1}, "a"});
    book.Apply(ShardFailed{{"r", "label", shard, 1}, "", {"damaged", 65}, {}});
  }
  EXPECT_EQ(job.letters, LettersOf({job.shards.begin(), job.shards.begin() + 20'000}));
  book.Apply(JobEnded{"r", "label", JobState::kFailed, {"damaged", 65}, 0});
  book.Apply(RunEnded{"r", RunState::kFailed, {"damaged", 65}, 0});
  book.Apply(RunReopened{"r", "again", 0});
  EXPECT_EQ(book.FindJob("r", "label")->letters.find('f'), std::string::npos);
}

}  // namespace
}  // namespace ferment::coordinator
