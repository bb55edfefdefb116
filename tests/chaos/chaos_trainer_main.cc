// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "common/base/logging.h"
#include "common/config/run_layout.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "tests/chaos/chaos_history.h"
#include "worker/grpc_run_client.h"

namespace ferment::chaos {
namespace {

constexpr int kSteps = 8;
constexpr std::chrono::milliseconds kStep{25};

std::atomic<bool> asked_to_leave = false;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The flags of ferment-trainer that matter here.
struct Flags {
  std::string run_dir, phase, run_id, coordinator;
  std::uint32_t round = 0;
  std::uint32_t attempt = 1;
};

Flags Parse(const std::vector<std::string>& words) {
  Flags flags;
  for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
    const std::string& name = words[i];
    const std::string& value = words[i + 1];
    if (name == "--run-dir") flags.run_dir = value;
    if (name == "--phase") flags.phase = value;
    if (name == "--run-id") flags.run_id = value;
    if (name == "--coordinator") flags.coordinator = value;
    if (name == "--round") flags.round = static_cast<std::uint32_t>(std::stoul(value));
    if (name == "--attempt") flags.attempt = static_cast<std::uint32_t>(std::stoul(value));
  }
  return flags;
}

std::vector<std::string> RolesOf(const std::string& phase) {
  if (phase == "cotrain") return {"teacher", "student"};
  if (phase == "finetune") return {"student", "baseline"};
  return {phase == "teacher" ? "teacher" : phase};
}

/// A trainer's side of the wire without the training: takes the token, publishes files that follow from run-independent
/// facts alone, says that it is done.
class ScriptedTrainer {
 public:
  ScriptedTrainer(const Flags& flags, HistoryWriter& history)
      : flags_(flags), job_(JobId(flags.phase, flags.round)), history_(history) {
    client_ = worker::MakeGrpcRunClient({.coordinator = flags.coordinator,
                                         .run_id = flags.run_id,
                                         .job_id = job_,
                                         .attempt = flags.attempt,
                                         .run_dir = flags.run_dir});
  }

  int Run() {
    const Status acquired = client_->Acquire();
    Say("token", acquired);
    if (!acquired.ok()) return ProcessExitCode(acquired);
    for (int step = 0; step < kSteps; ++step) {
      if (client_->StopRequested() || asked_to_leave) return exit_code::kTerminated;
      if (!client_->Fenced().ok()) return exit_code::kFenced;
      std::this_thread::sleep_for(kStep);
      client_->Report({.step = static_cast<std::uint64_t>(step), .total_steps = kSteps, .metrics = {}});
    }
    const auto models = Publish();
    if (!models) return Fails(models.error());
    Say("complete", "invoke", models->front().sha256);
    const Status completed = client_->Complete({.last = {}, .models = *models});
    Say("complete", OutcomeOf(completed), models->front().sha256);
    return completed.ok() ? exit_code::kOk : ProcessExitCode(completed);
  }

 private:
  Result<std::vector<worker::PublishedModel>> Publish() {
    const RunLayout layout(flags_.run_dir);
    std::vector<worker::PublishedModel> models;
    for (const std::string& role : RolesOf(flags_.phase)) {
      const std::string text = "stands in for the weights of " + role + " after " + job_ + "\n";
      const auto file = layout.Model(job_, role);
      FERMENT_RETURN_IF_ERROR(io::CreateFolders(file.parent_path()));
      FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(file, text));
      models.push_back({role, file.lexically_relative(flags_.run_dir).string(), io::Sha256Hex(text)});
    }
    return models;
  }
  int Fails(const Status& status) {
    client_->ReportFailure(ProcessExitCode(status), status.message());
    return ProcessExitCode(status);
  }
  void Say(const char* what, const Status& status) { Say(what, OutcomeOf(status), ""); }
  void Say(const char* what, const std::string& outcome, const std::string& digest) {
    HistoryLine line;
    line.what = what;
    line.outcome = outcome;
    line.run = flags_.run_id;
    line.job = job_;
    line.attempt = flags_.attempt;
    line.digest = digest;
    history_.Add(std::move(line));
  }

  const Flags flags_;
  const std::string job_;
  HistoryWriter& history_;
  std::unique_ptr<worker::RunClient> client_;
};

/// Becomes the real trainer, which then reaches the coordinator by the relay.
int BecomeRealTrainer(const std::string& program, std::vector<std::string> words) {
  for (std::size_t i = 1; i + 1 < words.size(); ++i) {
    if (words[i] == "--coordinator") words[i + 1] = Environment("FERMENT_CHAOS_RELAY");
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv[0] = const_cast<char*>(program.c_str());  // NOLINT: execv wants it so
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  return exit_code::kMissingService;
}

int Main(const std::vector<std::string>& words) {
  const std::string real = Environment("FERMENT_CHAOS_REAL_TRAINER");
  if (!real.empty()) return BecomeRealTrainer(real, words);
  for (const int number : {SIGUSR2, SIGTERM}) std::signal(number, [](int) { asked_to_leave = true; });
  SetUpLogging({.program = "chaos_trainer", .level = LogLevel::kWarning});
  Flags flags = Parse(words);
  flags.coordinator = Environment("FERMENT_CHAOS_RELAY");
  HistoryWriter history(Environment("FERMENT_CHAOS_HISTORY"), "trainer/" + std::to_string(getpid()));
  return ScriptedTrainer(flags, history).Run();
}

}  // namespace
}  // namespace ferment::chaos

int main(int argc, char** argv) { return ferment::chaos::Main({argv, argv + argc}); }
