// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

namespace ferment::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome Type(const std::vector<const char*>& words) {
  std::vector<const char*> argv = {"ferment"};
  argv.insert(argv.end(), words.begin(), words.end());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = RunCommandLine(static_cast<int>(argv.size()), argv.data());
  return {code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

std::string SpecFile(const std::string& text) {
  const auto file = std::filesystem::path(testing::TempDir()) / "command_test.yaml";
  std::ofstream(file) << text;
  return file.string();
}

TEST(Command, HelpsWhenNothingIsAsked) {
  const Outcome outcome = Type({});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("ferment demo"));
  for (const char* verb : {"run", "demo", "submit", "get", "watch", "logs", "cancel", "suspend", "resume", "prioritize",
                           "rollback", "wait", "render", "doctor", "config", "predict", "describe", "health"}) {
    EXPECT_THAT(outcome.out, HasSubstr(std::string("  ") + verb + " ")) << verb;
  }
}

TEST(Command, LeavesWith2OnWrongUsage) {
  EXPECT_EQ(Type({"no-such-verb"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"run"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"run", "--no-such-flag"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"--version"}).code, 0);
  EXPECT_EQ(Type({"run", "--help"}).code, 0);
}

TEST(Command, NamesTheFlagThatIsNearestToAMistypedOne) {
  const Outcome outcome = Type({"run", "spec.yaml", "--frsh"});
  EXPECT_EQ(outcome.code, exit_code::kUsage);
  EXPECT_THAT(outcome.err, HasSubstr("no such flag: --frsh; nearest: --fresh\n"));
}

TEST(Command, ANumberPastItsRangeIsToldWithNameValueAndRange) {
  EXPECT_THAT(Type({"dev-certs", "d", "--days", "99999999999"}).err,
              HasSubstr("--days: must be a whole number from 1 to 825: 99999999999"));
  EXPECT_THAT(Type({"new-token", "a", "reader", "--tokens", "t", "--out", "o", "--days", "-1"}).err,
              HasSubstr("--days: must be a whole number from 0 to 3650: -1"));
}

TEST(Command, NamesTheWordThatIsNoCommand) {
  EXPECT_THAT(Type({"no-such-verb"}).err, HasSubstr("command=no-such-verb"));
  EXPECT_THAT(Type({"data", "shwo", "folder"}).err, HasSubstr("command=shwo"));
  EXPECT_EQ(Type({"data", "shwo"}).code, exit_code::kUsage);
  EXPECT_THAT(Type({"data", "show"}).err, testing::Not(HasSubstr("no such command")));
}

TEST(Command, SuggestsTheNearestCommandAndDoesNotRunIt) {
  EXPECT_THAT(Type({"rnu", "demo.yaml"}).err, HasSubstr("nearest: `ferment run`"));
  EXPECT_THAT(Type({"data", "shwo", "folder"}).err, HasSubstr("nearest: `ferment data show`"));
  EXPECT_THAT(Type({"data", "shwo", "folder"}).err, HasSubstr("see `ferment data --help`"));
  EXPECT_THAT(Type({"no-such-verb"}).err, testing::Not(HasSubstr("nearest")));
}

TEST(Command, HelpBeforeACommandIsHelpOfIt) {
  for (const auto& words : std::vector<std::vector<const char*>>{{"help", "run"}, {"help", "data", "scan"}, {"help"}}) {
    std::vector<const char*> plain(words.begin() + 1, words.end());
    plain.push_back("--help");
    const Outcome help = Type(words);
    EXPECT_EQ(help.code, 0);
    EXPECT_EQ(help.out, Type(plain).out);
    EXPECT_THAT(help.out, HasSubstr("Usage: "));
  }
  const Outcome unknown = Type({"help", "rnu"});
  EXPECT_EQ(unknown.code, exit_code::kUsage);
  EXPECT_THAT(unknown.err, HasSubstr("nearest: `ferment run`"));
}

TEST(Command, PredictSaysWhenTheLabelerIsNotBuilt) {
  const Outcome outcome = Type({"predict", "--model", "export", "face.jpg"});
  EXPECT_EQ(outcome.code, exit_code::kMissingService);
  EXPECT_THAT(outcome.err, HasSubstr("ferment-labeler"));
  EXPECT_EQ(Type({"predict", "--model", "export"}).code, exit_code::kUsage);
}

TEST(Command, RefusesABadSpecBeforeAnythingStarts) {
  const std::string file = SpecFile("cotrain:\n  stepps: 3\n");
  const std::string run_dir = testing::TempDir() + "/never_made";
  const Outcome outcome = Type({"run", file.c_str(), "--run-dir", run_dir.c_str()});
  EXPECT_EQ(outcome.code, exit_code::kBadSpec);
  EXPECT_THAT(outcome.err, HasSubstr("stepps"));
  EXPECT_FALSE(std::filesystem::exists(run_dir));
  EXPECT_EQ(Type({"run", "/no/such/spec.yaml"}).code, exit_code::kBadSpec);
}

TEST(Command, ADryRunPrintsTheCommandsThatThereAreAndThePhasesThatWillRun) {
  const auto plan = [&](const std::string& spec) {
    const std::string file = SpecFile(spec);
    return Type({"render", "mpirun", file.c_str(), "--run-dir", "/runs/x"}).out;
  };
  const std::string rendered = plan("name: tried\n");
  EXPECT_THAT(rendered, HasSubstr("--job label "));
  EXPECT_THAT(rendered, HasSubstr("--phase temporal"));
  EXPECT_THAT(rendered, HasSubstr("# features"));
  EXPECT_THAT(rendered, Not(HasSubstr("--job features"))) << "no labeler does it without a coordinator";
  const std::string of_pictures = plan("data: {fer: {path: /faces}, fr: {path: /pack}}\n");
  EXPECT_THAT(of_pictures, HasSubstr("--phase finetune"));
  EXPECT_THAT(of_pictures, Not(HasSubstr("features")));
  EXPECT_THAT(of_pictures, Not(HasSubstr("--phase temporal")));
}

TEST(Command, ADryRunSaysWhatWouldBeDoneAndWritesNothing) {
  const std::string file = SpecFile("name: tried\nteacher: {steps: 7}\n");
  const std::string run_dir = (std::filesystem::path(testing::TempDir()) / "dry_run").string();
  std::filesystem::remove_all(run_dir);
  const std::vector<const char*> words = {"run", file.c_str(), "--run-dir", run_dir.c_str(), "--dry-run"};
  const Outcome outcome = Type(words);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(run_dir + ", a new run"));
  EXPECT_THAT(outcome.out, HasSubstr("--phase cotrain"));
  EXPECT_FALSE(std::filesystem::exists(run_dir));

  std::filesystem::create_directory(run_dir);
  std::ofstream(run_dir + "/letter.txt") << "mine";
  EXPECT_EQ(Type(words).code, exit_code::kCannotWrite) << "not a run's folder";
  std::filesystem::remove(run_dir + "/letter.txt");
  std::ofstream(run_dir + "/spec.yaml") << "apiVersion: ferment/v1\nname: tried\nteacher: {steps: 8}\n";
  const Outcome other = Type(words);
  EXPECT_EQ(other.code, exit_code::kBadSpec);
  EXPECT_THAT(other.err, HasSubstr("teacher.steps: 8 -> 7"));
  std::vector<const char*> anew = words;
  anew.push_back("--fresh");
  EXPECT_THAT(Type(anew).out, HasSubstr("after deleting"));
  EXPECT_TRUE(std::filesystem::exists(run_dir + "/spec.yaml"));
  anew.push_back("--json");
  EXPECT_EQ(Type(anew).code, exit_code::kUsage);
  const std::string without_data = SpecFile("data: {fer: {path: /no/such/faces}, fr: {path: /no/such/pack}}\n");
  EXPECT_EQ(Type({"run", without_data.c_str(), "--run-dir", run_dir.c_str(), "--fresh", "--dry-run"}).code,
            exit_code::kBadData);
}

TEST(Command, RendersEachPhaseOfASpec) {
  const std::string file = SpecFile("cotrain:\n  rounds: 2\nresources:\n  ranks: 3\n");
  const Outcome outcome = Type({"render", "mpirun", file.c_str(), "--run-dir", "/runs/x"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* line : {"-np 3", "--phase teacher", "--phase cotrain --round 1", "--job label-1", "--phase evaluate",
                           "/runs/x/spec.yaml"}) {
    EXPECT_THAT(outcome.out, HasSubstr(line));
  }
}

TEST(Command, RendersABatchScriptForSlurm) {
  const std::string file = SpecFile("name: x\nresources:\n  ranks: 3\n  threads_per_rank: 4\n");
  const Outcome outcome =
      Type({"render", "slurm", file.c_str(), "--run-dir", "/runs/x", "--phase", "cotrain", "--round", "1"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(outcome.out.starts_with("#!/bin/bash\n"));
  for (const char* line : {"--job-name=x-cotrain-1\n", "--ntasks=3\n", "--cpus-per-task=4\n",
                           "--phase cotrain --round 1", "OMP_NUM_THREADS=4 ", "/runs/x/logs/cotrain-1.jsonl\n"}) {
    EXPECT_THAT(outcome.out, HasSubstr(line));
  }
  EXPECT_THAT(outcome.out, Not(HasSubstr("mpi_yield_when_idle")));
  EXPECT_EQ(Type({"render", "slurm", file.c_str(), "--phase", "label"}).code, exit_code::kUsage);
  const std::string without_threads = SpecFile("name: x\n");
  EXPECT_EQ(Type({"render", "slurm", without_threads.c_str()}).code, exit_code::kBadSpec);
}

TEST(Command, SaysThatNoCoordinatorAnswers) {
  const Outcome outcome = Type({"cancel", "r1", "--coordinator", "127.0.0.1:1"});
  EXPECT_EQ(outcome.code, exit_code::kMissingService);
  EXPECT_THAT(outcome.err, HasSubstr("127.0.0.1:1"));
}

}  // namespace
}  // namespace ferment::cli
