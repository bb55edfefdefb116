// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferment::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Ids(const std::vector<PlannedJob>& jobs) {
  std::vector<std::string> ids;
  for (const PlannedJob& job : jobs) ids.push_back(job.job_id);
  return ids;
}

Run RunOf(const RunFacts& facts) {
  JobBook book;
  book.Apply(RunSubmitted{"r", "", "n", "/runs/r", "", PlanJobs(facts), 0});
  return *book.FindRun("r");
}

Job& At(Run& run, std::string_view job_id) { return const_cast<Job&>(*run.FindJob(job_id)); }

TEST(Pipeline, RoundsRepeatLabellingAndCotraining) {
  EXPECT_THAT(Ids(PlanJobs({2, true})), ElementsAre("teacher", "label", "cotrain", "label-1", "cotrain-1", "finetune",
                                                    "features", "temporal", "evaluate"));
  EXPECT_EQ(TeacherSource(0), "teacher");
  EXPECT_EQ(TeacherSource(2), "cotrain-1");
}

TEST(Pipeline, WithoutVideosFeaturesAndTemporalAreSkippedAndEvaluationStillRuns) {
  auto run = RunOf({1, false});
  EXPECT_EQ(run.FindJob("features")->state, JobState::kSkipped);
  EXPECT_EQ(run.FindJob("temporal")->state, JobState::kSkipped);
  At(run, "finetune").state = JobState::kSucceeded;
  EXPECT_TRUE(MayStart(run, *run.FindJob("evaluate")));
}

TEST(Pipeline, AJobStartsOnceAllItNeedsHasEndedWell) {
  auto run = RunOf({1, true});
  EXPECT_TRUE(MayStart(run, *run.FindJob("teacher")));
  EXPECT_FALSE(MayStart(run, *run.FindJob("label")));
  At(run, "teacher").state = JobState::kRunning;
  EXPECT_FALSE(MayStart(run, *run.FindJob("teacher")));
  EXPECT_FALSE(MayStart(run, *run.FindJob("label")));
  At(run, "teacher").state = JobState::kSucceeded;
  EXPECT_TRUE(MayStart(run, *run.FindJob("label")));
  run.cancel_requested = true;
  EXPECT_FALSE(MayStart(run, *run.FindJob("label")));
  run.cancel_requested = false;
  run.state = RunState::kFailed;
  EXPECT_FALSE(MayStart(run, *run.FindJob("label")));
  run.state = RunState::kRunning;
  At(run, "label").plan.needs.push_back("a job of a newer version");
  EXPECT_FALSE(MayStart(run, *run.FindJob("label")));
}

ExitVerdict Judge(int code, std::uint32_t failed_attempts, bool completed = false) {
  auto run = RunOf({1, true});
  Job& job = At(run, "teacher");
  job.attempt.exit_code = code;
  job.attempt.completed = completed;
  job.failed_attempts = failed_attempts;
  return JudgeExit(run, job);
}

TEST(Pipeline, ACompletedJobHasSucceededHoweverItsTrainerLeaves) {
  EXPECT_EQ(Judge(0, 0, true).kind, ExitVerdict::Kind::kSucceeded);
  EXPECT_EQ(Judge(0, 1, false).kind, ExitVerdict::Kind::kStartAgain);
  EXPECT_EQ(Judge(137, 1, true).kind, ExitVerdict::Kind::kSucceeded);
  EXPECT_EQ(Judge(137, 1, false).kind, ExitVerdict::Kind::kStartAgain);
}

TEST(Pipeline, CodesFrom128AreTriedThreeTimesMoreAndLowerOnesAndAFullDiskNever) {
  for (const int code : {2, 64, 65, 78, 127, 204}) EXPECT_EQ(Judge(code, 1).kind, ExitVerdict::Kind::kFailed) << code;
  for (const int code : {128, 137, 143, 201, 203, 255}) {
    EXPECT_EQ(Judge(code, 1).kind, ExitVerdict::Kind::kStartAgain) << code;
    EXPECT_EQ(Judge(code, 3).kind, ExitVerdict::Kind::kStartAgain) << code;
    EXPECT_EQ(Judge(code, 4).kind, ExitVerdict::Kind::kFailed) << code;
  }
  EXPECT_FALSE(MayRetry(256)) << "no process leaves with that";
}

TEST(Pipeline, AFailureThatIsReportedWithoutACodeHasThatOfTheExit) {
  const auto judge = [](int code) {
    auto run = RunOf({1, true});
    Job& job = At(run, "teacher");
    job.attempt.exit_code = code;
    job.attempt.reported = Failure{"no reason", 0};
    job.failed_attempts = 1;
    return JudgeExit(run, job);
  };
  EXPECT_EQ(judge(65).failure.exit_code, 65);
  EXPECT_EQ(judge(0).failure.exit_code, exit_code::kBug) << "a failure does not leave with 0";
}

TEST(Pipeline, AFailureIsOneSentenceHoweverItsReasonEnds) {
  const auto run = RunOf({1, true});
  for (const char* reason : {"full disk", "full disk.", "full disk\n", "full disk.\n"}) {
    EXPECT_THAT(DescribeFailure(run, *run.FindJob("teacher"), {reason, 204}).message,
                HasSubstr("phase teacher failed: full disk. What to do: free space"));
  }
}

TEST(Pipeline, EachExitCodeSaysWhatToDoAboutIt) {
  const auto run = RunOf({1, true});
  const auto advice = [&](int code) { return DescribeFailure(run, *run.FindJob("teacher"), {"x", code}).message; };
  EXPECT_THAT(advice(exit_code::kUsage), HasSubstr("`ferment config validate`"));
  EXPECT_THAT(advice(exit_code::kBadSpec), HasSubstr("`ferment config validate`"));
  EXPECT_THAT(advice(exit_code::kMissingService), HasSubstr("`ferment doctor`"));
  EXPECT_THAT(advice(exit_code::kCannotWrite), HasSubstr("right to write in /runs/r"));
  EXPECT_THAT(advice(exit_code::kNotAllowed), HasSubstr("right to write in /runs/r"));
  EXPECT_THAT(advice(exit_code::kUnreadableState), HasSubstr("--fresh"));
  EXPECT_THAT(advice(exit_code::kFenced), HasSubstr("--run-dir"));
  EXPECT_THAT(advice(137), HasSubstr("read /runs/r/logs/teacher.jsonl"));
}

// mpirun leaves with 1 when somebody sends it TERM; what its ranks had saved is still there.
TEST(Pipeline, CodeOneIsMpirunsOwnUnlessTheTrainerHasReportedABug) {
  EXPECT_EQ(Judge(1, 1).kind, ExitVerdict::Kind::kStartAgain);
  EXPECT_EQ(Judge(1, 4).kind, ExitVerdict::Kind::kFailed);
  auto run = RunOf({1, true});
  Job& job = At(run, "teacher");
  job.attempt.exit_code = 1;
  job.attempt.reported = Failure{"a bug", 1};
  job.failed_attempts = 1;
  EXPECT_EQ(JudgeExit(run, job).kind, ExitVerdict::Kind::kFailed);
}

TEST(Pipeline, AFailureSaysPhaseReasonAndWhatToDoAndKeepsItsCode) {
  auto run = RunOf({1, true});
  Job& job = At(run, "teacher");
  job.attempt.exit_code = 1;
  job.attempt.reported = Failure{"class Fear has no sample: path=/data/fer", 65};
  job.failed_attempts = 1;
  const ExitVerdict verdict = JudgeExit(run, job);
  EXPECT_EQ(verdict.failure.exit_code, 65);
  EXPECT_THAT(verdict.failure.message, HasSubstr("phase teacher failed: class Fear has no sample"));
  EXPECT_THAT(verdict.failure.message, HasSubstr("What to do: look at the data"));
}

TEST(Pipeline, ARefusedPlanSendsNobodyToTheData) {
  const auto run = RunOf({1, true});
  const Failure failure = DescribeFailure(
      run, *run.FindJob("label"), {"shard 0: int8 gives other labels than fp32", 65, FailureCause::kPlanRefused});
  EXPECT_EQ(failure.exit_code, 65);
  EXPECT_THAT(failure.message, HasSubstr("What to do: start the run again with labeling.plan as named"));
  EXPECT_THAT(failure.message, testing::Not(HasSubstr("data scan")));
}

TEST(Pipeline, WordsAloneDoNotSayThatAPlanIsRefused) {
  const auto run = RunOf({1, true});
  const Failure failure = DescribeFailure(run, *run.FindJob("label"), {"set labeling.plan to fp32", 65});
  EXPECT_THAT(failure.message, HasSubstr("What to do: look at the data with `ferment data scan`"));
}

TEST(Pipeline, AStoppedFirstTeacherFailsTheRunWith65AndSaysThatItStaysStopped) {
  auto run = RunOf({2, true});
  Job& job = At(run, "label");
  job.state = JobState::kRunning;
  job.tripped = "teacher abc: accuracy 0.2";
  const auto end = EndAfterStop(run, job);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->state, JobState::kFailed);
  EXPECT_EQ(end->failure.exit_code, exit_code::kBadData);
  EXPECT_THAT(end->failure.message, HasSubstr("phase label failed: teacher abc: accuracy 0.2. What to do: look at"));
  EXPECT_THAT(end->failure.message, HasSubstr("then start with --fresh: a stopped teacher stays stopped"));
  EXPECT_FALSE(EndAfterStop(run, At(run, "cotrain"))) << "the failure is one job's";
  job.tripped = {};
  At(run, "label-1").tripped = "teacher abc: accuracy 0.2";
  EXPECT_FALSE(EndAfterStop(run, job)) << "a later teacher's";
}

TEST(Pipeline, AStoppedLaterTeacherCostsItsRoundAndThoseAfterIt) {
  auto run = RunOf({3, true});
  for (const char* done : {"teacher", "label", "cotrain"}) At(run, done).state = JobState::kSucceeded;
  Job& job = At(run, "label-1");
  job.state = JobState::kRunning;
  job.tripped = "teacher abc: accuracy 0.2";
  std::vector<std::string> ended;
  for (Job& other : run.jobs) {
    const auto end = EndAfterStop(run, other);
    if (!end) continue;
    EXPECT_EQ(end->state, JobState::kSkipped);
    EXPECT_EQ(end->failure.message, "left out: teacher abc: accuracy 0.2");
    other.state = end->state;
    ended.push_back(other.plan.job_id);
  }
  EXPECT_THAT(ended, ElementsAre("label-1", "cotrain-1", "label-2", "cotrain-2"));
  EXPECT_TRUE(MayStart(run, *run.FindJob("finetune"))) << "with what cotrain brought";
  EXPECT_FALSE(FirstFailure(run));
}

TEST(Pipeline, TheTeacherInUseIsTheLatestPublishedWhileItsRoundLasts) {
  auto run = RunOf({2, true});
  EXPECT_EQ(TeacherInUse(run), nullptr);
  At(run, "teacher").state = JobState::kSucceeded;
  EXPECT_EQ(TeacherInUse(run)->plan.job_id, "label");
  At(run, "label").state = JobState::kSucceeded;
  At(run, "cotrain").state = JobState::kRunning;
  EXPECT_EQ(TeacherInUse(run)->plan.job_id, "label");
  At(run, "cotrain").state = JobState::kSucceeded;
  EXPECT_EQ(TeacherInUse(run)->plan.job_id, "label-1");
  At(run, "label-1").state = JobState::kSucceeded;
  EXPECT_EQ(TeacherInUse(run)->plan.job_id, "label-1");
  At(run, "cotrain-1").state = JobState::kSucceeded;
  EXPECT_EQ(TeacherInUse(run), nullptr);
}

TEST(Pipeline, ARunIsEndingOnceATrainerHasSaidThatItFailsForGood) {
  auto run = RunOf({1, true});
  Job& job = At(run, "teacher");
  job.state = JobState::kRunning;
  EXPECT_FALSE(IsEnding(run));
  job.attempt.reported = {"no space left", exit_code::kStorageFailed};
  EXPECT_TRUE(IsEnding(run)) << "before it has left";
  job.attempt.reported = {"a rank was lost", exit_code::kPeerLost};
  EXPECT_FALSE(IsEnding(run)) << "it is started again";
  job.failed_attempts = kRetryLimit;
  EXPECT_TRUE(IsEnding(run)) << "this one is the last";
  job.failed_attempts = 0;
  run.cancel_requested = true;
  EXPECT_TRUE(IsEnding(run));
  run.state = RunState::kCancelled;
  EXPECT_FALSE(IsEnding(run)) << "it has ended";
  run = RunOf({1, true});
  At(run, "label").state = JobState::kFailed;
  EXPECT_TRUE(IsEnding(run));
}

TEST(Pipeline, ARunEndsWithItsLastJobAndAsItsWorst) {
  auto run = RunOf({1, true});
  for (Job& job : run.jobs) job.state = JobState::kSucceeded;
  EXPECT_EQ(Outcome(run)->state, RunState::kSucceeded);
  At(run, "evaluate").state = JobState::kRunning;
  EXPECT_FALSE(Outcome(run).has_value());
  At(run, "evaluate").state = JobState::kCancelled;
  EXPECT_EQ(Outcome(run)->state, RunState::kCancelled);
  At(run, "finetune").state = JobState::kFailed;
  At(run, "finetune").failure = {"why", 78};
  EXPECT_EQ(Outcome(run)->state, RunState::kFailed);
  EXPECT_EQ(Outcome(run)->failure.exit_code, 78);
}

}  // namespace
}  // namespace ferment::coordinator
