// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_oracle.h"

#include <gtest/gtest.h>

#include <fstream>

#include "common/dataset/labels/label_index.h"
#include "coordinator/store/event_codec.h"
#include "tests/support/replaced_label_index.h"

namespace ferment::chaos {
namespace {

using namespace coordinator;  // NOLINT(google-build-using-namespace): events by their names
namespace fs = std::filesystem;

/// A small run that went well, as its log, its history and its folder; each test breaks one thing.
class ChaosOracleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    run_dir_ = fs::path(::testing::TempDir()) / "chaos_oracle";
    fs::remove_all(run_dir_);
    for (std::uint64_t shard = 0; shard < 2; ++shard) digests_.push_back(WriteSet(shard, 'a').sha256);
    Add(RunSubmitted{
        .run_id = "r-1",
        .request_id = "run:r",
        .name = "r",
        .run_dir = run_dir_.string(),
        .spec = {},
        .jobs = {{"teacher", Phase::kTeacher, 0, {}, false}, {"label", Phase::kLabel, 0, {"teacher"}, false}}});
    Add(AttemptIntended{.run_id = "r-1", .job_id = "teacher", .attempt = 1});
    Add(AttemptLaunched{.run_id = "r-1", .job_id = "teacher", .attempt = 1});
    Add(TokenTaken{
        .run_id = "r-1", .job_id = "teacher", .attempt = 1, .token = 1, .incarnation = "i", .host = "h", .pid = 7});
    Add(JobCompleted{.run_id = "r-1",
                     .job_id = "teacher",
                     .attempt = 1,
                     .usage = {},
                     .models = {{"teacher", "t", "teacher-digest"}},
                     .metrics = {}});
    Add(AttemptExited{.run_id = "r-1", .job_id = "teacher", .attempt = 1});
    Add(JobEnded{.run_id = "r-1", .job_id = "teacher", .failure = {}});
    ShardsPlanned plan;
    plan.run_id = "r-1";
    plan.job_id = "label";
    plan.work.dataset = "fr";
    plan.work.label_config = "config";
    plan.work.models = {{"teacher", "t", "teacher-digest", "labels"}};
    plan.shards = {{"", 0, 1}, {"", 1, 1}};
    Add(plan);
    Say({.what = "submit", .outcome = "ok", .run = "r-1", .digest = run_dir_.string()});
    Say({.what = "token", .outcome = "ok", .run = "r-1", .job = "teacher", .attempt = 1}, "trainer/7");
    Say({.what = "complete", .outcome = "ok", .run = "r-1", .job = "teacher", .attempt = 1, .digest = "teacher-digest"},
        "trainer/7");
    for (std::uint64_t shard = 0; shard < 2; ++shard) {
      Lease(shard, 1, "labeler-0/1");
      Commit(shard, 1, digests_[shard], "labeler-0/1");
    }
    Add(JobEnded{.run_id = "r-1", .job_id = "label", .failure = {}});
    Add(RunEnded{.run_id = "r-1", .failure = {}});
    evidence_.states["r-1"] = "succeeded";
  }

  dataset::LabelFile WriteSet(std::uint64_t shard, char content) {
    dataset::LabelSet set;
    set.origin = {"fr", "teacher-digest", "config"};
    set.shard = shard;
    set.classes = {"A", "B"};
    set.key = {shard};
    set.label = {static_cast<std::uint8_t>(content == 'a' ? 0 : 1)};
    set.confidence_half = {0x3c00};
    set.probabilities_half = {static_cast<std::uint16_t>(content == 'a' ? 0x3c00 : 0),
                              static_cast<std::uint16_t>(content == 'a' ? 0 : 0x3c00)};
    set.status = {dataset::LabelStatus::kLabelled};
    const auto file = dataset::WriteLabelSet(run_dir_ / "labels", set);
    EXPECT_TRUE(file) << file.error().ToString();
    EXPECT_TRUE(dataset::CommitToLabelIndex(run_dir_ / "labels", shard, *file) || content != 'a');
    return *file;
  }
  void Add(const Event& event) {
    evidence_.rows.push_back({static_cast<std::int64_t>(evidence_.rows.size()) + 1, 1, EncodeEvent(event)});
  }
  void Say(HistoryLine line, const std::string& who = "harness") {
    line.at = std::chrono::nanoseconds(100 * (evidence_.history.size() + 1));
    line.who = who;
    evidence_.history.push_back(std::move(line));
  }
  void Lease(std::uint64_t shard, std::uint64_t epoch, const std::string& who) {
    Add(ShardLeased{.key = {"r-1", "label", shard, epoch}, .labeler_id = who});
    Say({.what = "lease", .outcome = "ok", .run = "r-1", .job = "label", .shard = shard, .epoch = epoch}, who);
  }
  void LogCommit(std::uint64_t shard, std::uint64_t epoch, const std::string& digest) {
    Add(ShardCommitted{.key = {"r-1", "label", shard, epoch},
                       .request_id = "commit" + std::to_string(shard) + "/" + std::to_string(epoch),
                       .files = {{"labels/x", digest}},
                       .counts = {.read = 1, .labelled = 1, .abstained = 0, .quarantined = 0, .class_histogram = {}}});
  }
  void Commit(std::uint64_t shard, std::uint64_t epoch, const std::string& digest, const std::string& who) {
    const auto say = [&](const char* outcome) {
      Say({.what = "commit",
           .outcome = outcome,
           .run = "r-1",
           .job = "label",
           .shard = shard,
           .epoch = epoch,
           .digest = digest},
          who);
    };
    say("invoke");
    LogCommit(shard, epoch, digest);
    say("ok");
  }
  /// Takes a row out, with what follows renumbered, as if it had never been written.
  void Forget(const std::function<bool(const Event&)>& which) {
    std::vector<StoredRow> kept;
    for (StoredRow& row : evidence_.rows) {
      if (which(*DecodeEvent(row.body))) continue;
      row.sequence = static_cast<std::int64_t>(kept.size()) + 1;
      kept.push_back(std::move(row));
    }
    evidence_.rows = std::move(kept);
  }
  template <typename Kind>
  static bool Is(const Event& event) {
    return std::holds_alternative<Kind>(event);
  }
  void ExpectBreach(const std::string& promise, const std::string& words) {
    const auto breaches = Judge(evidence_);
    std::string all;
    for (const Breach& breach : breaches) {
      if (breach.promise == promise && breach.what.find(words) != std::string::npos) return;
      all += breach.promise + ": " + breach.what + "\n";
    }
    ADD_FAILURE() << "not caught: " << promise << ": " << words << "; what was said:\n" << all;
  }

  fs::path run_dir_;
  std::vector<std::string> digests_;
  Evidence evidence_;
};

TEST_F(ChaosOracleTest, FindsNothingInARunThatWentWell) {
  for (const Breach& breach : Judge(evidence_)) ADD_FAILURE() << breach.promise << ": " << breach.what;
}

TEST_F(ChaosOracleTest, CatchesALostCommit) {
  Forget([](const Event& event) {
    const auto* commit = std::get_if<ShardCommitted>(&event);
    return (commit != nullptr && commit->key.shard == 1) || Is<JobEnded>(event) || Is<RunEnded>(event);
  });
  evidence_.states.clear();
  ExpectBreach("P2", "a commit was acknowledged and is not in the log");
}

TEST_F(ChaosOracleTest, CatchesACommitThatWasMissingAfterAKillThoughItCameBackLater) {
  const std::int64_t before_the_commit = static_cast<std::int64_t>(evidence_.rows.size()) - 3;
  evidence_.marks = {{evidence_.history.back().at + std::chrono::nanoseconds(1), before_the_commit}};
  ExpectBreach("P2", "was not in the log after the next kill");
}

TEST_F(ChaosOracleTest, CatchesAHoleInASucceededJob) {
  Forget([](const Event& event) {
    const auto* commit = std::get_if<ShardCommitted>(&event);
    return commit != nullptr && commit->key.shard == 1;
  });
  ExpectBreach("P1", "a hole in a job that succeeded");
}

TEST_F(ChaosOracleTest, CatchesALabelerThatLeavesWhenToldToAndKeepsALease) {
  const HistoryLine lease{
      .what = "lease", .outcome = "ok", .run = "r-1", .job = "label", .shard = 1, .epoch = 1, .note = {}};
  HistoryLine returned = lease;
  returned.what = "return";
  returned.outcome = "invoke";
  Say(lease, "labeler-3/9");
  Say(returned, "labeler-3/9");
  Say({.what = "left", .outcome = "ok", .note = "labeler-3/9"});
  for (const Breach& breach : Judge(evidence_)) EXPECT_NE(breach.promise, "P13") << "it tried: " << breach.what;
  Say(lease, "labeler-4/9");
  Say({.what = "left", .outcome = "ok", .note = "labeler-4/9"});
  ExpectBreach("P13", "left when told to, and kept a lease: labeler-4/9");
}

TEST_F(ChaosOracleTest, CatchesALeaseThatWasHandedBackAndExpires) {
  evidence_.rows.resize(evidence_.rows.size() - 4);
  evidence_.states.clear();
  Lease(1, 1, "labeler-3/9");
  Add(ShardReleased{.key = {"r-1", "label", 1, 1}, .reason = ReleaseReason::kExpired, .request_id = {}});
  Say({.what = "return", .outcome = "ok", .run = "r-1", .job = "label", .shard = 1, .epoch = 1}, "labeler-3/9");
  ExpectBreach("P13", "handed back, acknowledged, and the log does not say so");
}

TEST_F(ChaosOracleTest, CatchesTwoSetsOfOneShard) {
  evidence_.rows.resize(evidence_.rows.size() - 2);
  LogCommit(1, 1, "other");
  ExpectBreach("P1", "committed twice");
}

TEST_F(ChaosOracleTest, CatchesAnAcknowledgedCommitWhoseLabelsWereNotKept) {
  Say({.what = "commit", .outcome = "ok", .run = "r-1", .job = "label", .shard = 1, .epoch = 1, .digest = "other"},
      "l/2");
  ExpectBreach("P1", "other labels are kept");
}

TEST_F(ChaosOracleTest, CatchesAVisibleSetThatNobodyCommitted) {
  const auto other = WriteSet(1, 'b');
  auto index = *dataset::ReadLabelIndex(run_dir_ / "labels");
  index[1] = other;
  ASSERT_TRUE(testing::ReplaceLabelIndex(run_dir_ / "labels", index).ok());
  ExpectBreach("P1", "another label set is visible than was committed");
}

TEST_F(ChaosOracleTest, CatchesASetThatIsNamedAndGone) {
  const dataset::LabelIndex index = *dataset::ReadLabelIndex(run_dir_ / "labels");
  for (const auto& [shard, file] : index) fs::remove(run_dir_ / "labels" / file.file);
  ExpectBreach("P2", "a committed label set cannot be read");
}

TEST_F(ChaosOracleTest, LooksForNoFilesOfARunThatIsKnownToBeRemoved) {
  fs::remove_all(run_dir_);
  EXPECT_FALSE(Judge(evidence_).empty());
  evidence_.removed = {"r-1"};
  EXPECT_TRUE(Judge(evidence_).empty());
}

TEST_F(ChaosOracleTest, CatchesRecordsThatGotLost) {
  Forget([](const Event& event) { return Is<JobEnded>(event) || Is<RunEnded>(event) || Is<ShardCommitted>(event); });
  Add(ShardCommitted{.key = {"r-1", "label", 0, 1},
                     .request_id = "c",
                     .files = {{"labels/x", digests_[0]}},
                     .counts = {.read = 1, .labelled = 0, .abstained = 0, .quarantined = 0, .class_histogram = {}}});
  ExpectBreach("P7", "records got lost");
}

TEST_F(ChaosOracleTest, CatchesAnEpochThatFalls) {
  Forget([](const Event& event) { return Is<JobEnded>(event) || Is<RunEnded>(event) || Is<ShardCommitted>(event); });
  Add(ShardReleased{.key = {"r-1", "label", 0, 1}, .request_id = {}});
  Lease(0, 1, "labeler-1/2");
  ExpectBreach("T1.5", "an epoch does not rise");
}

TEST_F(ChaosOracleTest, CatchesAnOldTermAfterANewOne) {
  evidence_.rows[3].term = 2;
  ExpectBreach("P3", "a fenced coordinator wrote");
}

TEST_F(ChaosOracleTest, CatchesAZombiesCommit) {
  evidence_.rows.resize(evidence_.rows.size() - 3);
  Add(ShardReleased{.key = {"r-1", "label", 1, 1}, .request_id = {}});
  Lease(1, 2, "labeler-1/2");
  LogCommit(1, 1, digests_[1]);
  ExpectBreach("P3", "a fenced labeler committed");
}

TEST_F(ChaosOracleTest, CatchesARenewalAfterALaterGrant) {
  Say({.what = "lease", .outcome = "ok", .run = "r-1", .job = "label", .shard = 1, .epoch = 2}, "labeler-1/2");
  Say({.what = "renew", .outcome = "invoke", .run = "r-1", .job = "label", .shard = 1, .epoch = 1}, "labeler-0/1");
  Say({.what = "renew", .outcome = "ok", .run = "r-1", .job = "label", .shard = 1, .epoch = 1}, "labeler-0/1");
  ExpectBreach("T1.6", "renewed after a later one");
}

TEST_F(ChaosOracleTest, CatchesOneLeaseGrantedToTwo) {
  Say({.what = "lease", .outcome = "ok", .run = "r-1", .job = "label", .shard = 1, .epoch = 1}, "labeler-1/2");
  ExpectBreach("P3", "two processes were granted one lease");
}

TEST_F(ChaosOracleTest, CatchesARefusalOfACommitThatWasMade) {
  Say({.what = "commit",
       .outcome = "fail",
       .run = "r-1",
       .job = "label",
       .shard = 1,
       .epoch = 1,
       .digest = digests_[1],
       .note = "ABORTED: the lease is lost"},
      "labeler-0/1");
  ExpectBreach("T1.3", "a commit that was made was refused");
}

TEST_F(ChaosOracleTest, CatchesTwoHoldersOfARunToken) {
  Say({.what = "token", .outcome = "ok", .run = "r-1", .job = "teacher", .attempt = 1}, "trainer/8");
  ExpectBreach("P5", "two processes were given one run token");
}

TEST_F(ChaosOracleTest, CatchesALostResult) {
  Say({.what = "complete", .outcome = "ok", .run = "r-1", .job = "teacher", .attempt = 2, .digest = "d"}, "trainer/7");
  ExpectBreach("P2", "a result was acknowledged and is not in the log");
}

TEST_F(ChaosOracleTest, CatchesALostSubmissionAndALostCancel) {
  Say({.what = "submit", .outcome = "ok", .run = "r-2", .digest = "/elsewhere"});
  Say({.what = "cancel", .outcome = "ok", .run = "r-1"});
  ExpectBreach("P2", "a submission was acknowledged and is not in the log");
  ExpectBreach("P2", "a cancel was acknowledged and is not in the log");
}

TEST_F(ChaosOracleTest, CatchesASecondSubmissionThatOpenedNothing) {
  Say({.what = "submit", .outcome = "ok", .run = "r-1", .digest = run_dir_.string()});
  ExpectBreach("P2", "was submitted again, acknowledged, and never opened");
}

TEST_F(ChaosOracleTest, CatchesAnEndThatNobodyWasTold) {
  evidence_.states["r-1"] = "running";
  ExpectBreach("P2", "disagree on how a run ended");
}

TEST_F(ChaosOracleTest, CatchesARowThatIsLostOrChangedBetweenTwoLooks) {
  std::vector<Breach> breaches;
  std::vector<StoredRow> known = evidence_.rows;
  MergeRows(evidence_.rows, known, breaches);
  EXPECT_TRUE(breaches.empty());
  std::vector<StoredRow> fewer = evidence_.rows;
  fewer.pop_back();
  MergeRows(fewer, known, breaches);
  EXPECT_EQ(breaches.size(), 1U);
  fewer[1].body += "x";
  MergeRows(fewer, known, breaches);
  EXPECT_EQ(breaches.size(), 2U);
  EXPECT_EQ(breaches.back().promise, "P2");
}

TEST(ChaosHistory, LeavesOutALineThatAKillCutOff) {
  const fs::path folder = fs::path(::testing::TempDir()) / "chaos_history";
  fs::remove_all(folder);
  fs::create_directories(folder);
  {
    HistoryWriter writer(folder, "labeler-0/1");
    writer.Add(
        {.what = "commit", .outcome = "invoke", .run = "r", .job = "label", .shard = 3, .epoch = 2, .digest = "d"});
  }
  std::ofstream(folder / "labeler-0-1.jsonl", std::ios::app) << R"({"at":12,"who":"labe)";
  const auto lines = ReadHistory(folder);
  ASSERT_TRUE(lines) << lines.error().ToString();
  ASSERT_EQ(lines->size(), 1U);
  EXPECT_EQ(lines->front().who, "labeler-0/1");
  EXPECT_EQ(lines->front().shard, 3U);
  std::ofstream(folder / "labeler-0-1.jsonl", std::ios::app) << "\n";
  EXPECT_FALSE(ReadHistory(folder)) << "a damaged line in the middle is not a kill's";
}

}  // namespace
}  // namespace ferment::chaos
