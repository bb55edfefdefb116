// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "coordinator/desks/lease_desk.h"
#include "coordinator/desks/run_desk.h"
#include "coordinator/desks/teacher_desk.h"
#include "coordinator/desks/trainer_desk.h"
#include "tests/support/engine_test.h"

namespace ferment::coordinator {
namespace {

using ::ferment::testing::SmallSpec;
using namespace std::chrono_literals;

/// What each desk keeps of a run beside the book, and that nothing of it is left once it is told to forget the run.
class ForgetTest : public ::ferment::testing::EngineTest {
 protected:
  ForgetTest() {
    run_id_ = *engine()->runs().Submit({"submit", SmallSpec(/*videos=*/false), "/runs/small"});
    Settle();
    token_ = {run_id_, "teacher",
              *engine()->trainers().TakeToken({run_id_, "teacher", 1, "incarnation", "host", 1, "/runs/small"})};
    Settle();
  }
  const coordinator::Run& TheRun() { return *engine()->book().FindRun(run_id_); }
  const Job& LabelJob() { return *TheRun().FindJob("label"); }

  /// Ends the teacher's job. Returns: a lease of the label job.
  LeaseKey LeaseOne() {
    EXPECT_TRUE(engine()->trainers().Complete(token_, {{}, {{"teacher", "t", "t"}}, {}}).ok());
    world_.launcher.Exit("teacher/1", 0);
    Settle();
    const LeaseAnswer answer = *engine()->leases().Lease({TakeName({"labeler", "1", "avx2", "", ""}), 1});
    EXPECT_EQ(answer.leases.size(), 1U);
    return answer.leases.at(0).key;
  }
  void Cancel() {
    EXPECT_TRUE(engine()->steering().Cancel(run_id_, "").ok());
    Settle();
    ASSERT_EQ(TheRun().state, RunState::kCancelled);
  }

  TokenKey token_;
};

TEST_F(ForgetTest, TheTrainersLastReportGoes) {
  TrainerProgress progress;
  progress.step = 3;
  ASSERT_TRUE(engine()->trainers().Report(token_, progress));
  ASSERT_NE(engine()->trainers().ProgressOf(run_id_, "teacher"), nullptr);
  engine()->trainers().Forget(TheRun());
  EXPECT_EQ(engine()->trainers().ProgressOf(run_id_, "teacher"), nullptr);
}

TEST_F(ForgetTest, SumsAndRatesOfLeasesGo) {
  const LeaseKey key = LeaseOne();
  ASSERT_TRUE(engine()->leases().Renew(key, 2));
  world_.clock.Advance(1s);
  ASSERT_TRUE(engine()->leases().Renew(key, 4));
  ASSERT_EQ(engine()->leases().RecordsInProgress(TheRun(), LabelJob()), 4U);
  ASSERT_EQ(engine()->leases().RecordRate(run_id_, "label"), 2);
  Cancel();
  engine()->leases().Forget(TheRun());
  EXPECT_EQ(engine()->leases().RecordsInProgress(TheRun(), LabelJob()), 0U);
  EXPECT_EQ(engine()->leases().RecordRate(run_id_, "label"), 0);
  // Once the lease runs out, what it had done is taken off the sum.
  world_.clock.Advance(1h);
  Settle();
  EXPECT_EQ(engine()->leases().RecordsInProgress(TheRun(), LabelJob()), 0U);
}

/// Of a run that has ended neither shows: it goes on here.
TEST_F(ForgetTest, ThatARunsFolderIsReadyAndItsTableWrittenGoes) {
  const auto done = [this] {
    return std::pair(world_.run_files.prepared.load(), world_.run_files.tables_written.load());
  };
  const auto before = done();
  Settle();
  ASSERT_EQ(done(), before) << "once is enough";
  engine()->runs().Forget(TheRun());
  Settle();
  EXPECT_EQ(done(), std::pair(before.first + 1, before.second + 1));
}

/// A label job most of whose labels are of one class.
class ForgetfulTeacherDesk : public ::testing::Test {
 protected:
  ForgetfulTeacherDesk() {
    RunSpec spec = SmallSpec(/*videos=*/false);
    spec.add_classes("Happiness");
    ledger_.Record(RunSubmitted{
        "run", "", "small", "/runs/small", spec.SerializeAsString(), {{"label", Phase::kLabel, 0, {}, false}}, 0});
    ledger_.Record(ShardsPlanned{"run",
                                 "label",
                                 {"faces", "config", "avx2", 10'000, 1, {{"teacher", "t", "t", "labels/x"}}},
                                 {{"", 0, 9000}},
                                 0});
    ledger_.Record(LabelerRegistered{"labeler", "labeler", "1", "avx2"});
    const LeaseKey key{"run", "label", 0, 1};
    ledger_.Record(ShardLeased{key, "labeler"});
    ledger_.Record(ShardCommitted{key, "", {{"labels/x/0.npz", "sha"}}, {9000, 8000, 1000, 0, {1000, 7000}}});
  }
  /// Returns: how often somebody was warned.
  int Judge() {
    ::testing::internal::CaptureStderr();
    const coordinator::Run& run = TheRun();
    desk_.Judge(run, *run.FindJob("label"));
    const std::string log = ::testing::internal::GetCapturedStderr();
    int warnings = 0;
    for (std::size_t at = log.find("teacher.suspicious"); at != std::string::npos;
         at = log.find("teacher.suspicious", at + 1))
      ++warnings;
    return warnings;
  }
  const coordinator::Run& TheRun() const { return *ledger_.book().FindRun("run"); }

  Ledger ledger_;
  ::ferment::testing::ManualClock clock_;
  std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  SchedulerMetrics metrics_{*registry_};
  TeacherDesk desk_{ledger_, clock_, metrics_};
};

TEST_F(ForgetfulTeacherDesk, WarnsOnceAndOnceMoreOfARunThatItHasForgotten) {
  const int warned = Judge();
  ASSERT_GT(warned, 0);
  EXPECT_EQ(Judge(), 0);
  desk_.Forget(TheRun());
  EXPECT_EQ(Judge(), warned);
}

}  // namespace
}  // namespace ferment::coordinator
