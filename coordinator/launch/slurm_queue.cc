// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/slurm_queue.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "common/event/child_process.h"
#include "common/event/program_output.h"

namespace ferment::coordinator {
namespace {

using std::string_view;

/// squeue(1), "JOB STATE CODES".
constexpr std::array<string_view, 13> kLiving = {"PENDING",   "RUNNING",  "SUSPENDED",    "CONFIGURING", "COMPLETING",
                                                 "RESIZING",  "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SIGNALING",
                                                 "STAGE_OUT", "STOPPED",  "RESV_DEL_HOLD"};
constexpr std::array<string_view, 11> kEnded = {"COMPLETED", "FAILED",        "CANCELLED",   "TIMEOUT",
                                                "PREEMPTED", "NODE_FAIL",     "BOOT_FAIL",   "DEADLINE",
                                                "REVOKED",   "OUT_OF_MEMORY", "SPECIAL_EXIT"};
/// What Slurm's programs say where a controller cannot be reached, or is too busy to answer: nothing is wrong with the
/// job then. SLURM_ERRORS(3) has the texts.
constexpr std::array<string_view, 12> kPassing = {"Unable to contact slurm controller",
                                                  "timed out",
                                                  "Connection refused",
                                                  "Zero Bytes were transmitted",
                                                  "temporarily unavailable",
                                                  "standby",
                                                  "Transport endpoint",
                                                  "Communication",
                                                  "Unable to establish",
                                                  "authentication error",
                                                  "Munge",
                                                  "I/O error writing script"};
/// Variables that narrow down what squeue lists and scancel ends.
constexpr std::array<string_view, 2> kNarrowing = {"SQUEUE_", "SCANCEL_"};
constexpr string_view kHeader = "JOBID|STATE|EXIT_CODE|REASON|NAME|\n";

template <std::size_t kSize>
bool Contains(const std::array<string_view, kSize>& words, string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool IsNumber(string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool WillPass(string_view errors) {
  return std::any_of(kPassing.begin(), kPassing.end(),
                     [errors](string_view text) { return errors.find(text) != string_view::npos; });
}

/// Returns: whether the line is of a job that has a name as of event::SlurmName. What else this user runs may be named,
/// and be in states, as it likes.
bool IsOurs(string_view line) {
  constexpr string_view kMark = "-ferment-";
  constexpr std::size_t kDigits = 16;
  if (line.size() < kMark.size() + kDigits + 1 || !line.ends_with('|')) return false;
  return line.substr(line.size() - kDigits - kMark.size() - 1, kMark.size()) == kMark;
}

/// Returns: `argv` without this process's variables that would narrow it down.
std::vector<std::string> WithoutNarrowing(std::vector<std::string> argv) {
  std::vector<std::string> words = {"env"};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const string_view name = string_view(*variable).substr(0, string_view(*variable).find('='));
    for (const string_view start : kNarrowing) {
      if (name.starts_with(start)) words.insert(words.end(), {"-u", std::string(name)});
    }
  }
  if (words.size() == 1) return argv;
  words.insert(words.end(), argv.begin(), argv.end());
  return words;
}

std::string OfThisUser() { return "--user=" + std::to_string(geteuid()); }

Result<SlurmQueueJob> ParseLine(string_view line) {
  const Status failure =
      DataLossError("squeue: not NUMBER|STATE|STATUS|REASON|NAME| of a job: line=\"" + std::string(line) + "\"");
  std::array<string_view, 4> fields;
  string_view rest = line;
  for (string_view& field : fields) {
    const std::size_t end = rest.find('|');
    if (end == string_view::npos) return Fail(failure);
    field = rest.substr(0, end);
    rest.remove_prefix(end + 1);
  }
  if (!IsNumber(fields[0]) || !rest.ends_with('|')) return Fail(failure);
  if (!Contains(kLiving, fields[1]) && !Contains(kEnded, fields[1])) {
    return Fail(DataLossError("squeue: no state of a job that is known here: state=\"" + std::string(fields[1]) +
                              "\" line=\"" + std::string(line) + "\""));
  }
  SlurmQueueJob job{.number = std::string(fields[0]),
                    .state = std::string(fields[1]),
                    .reason = std::string(fields[3]),
                    .name = std::string(rest.substr(0, rest.size() - 1))};
  const char* const last = fields[2].data() + fields[2].size();
  const auto [end, error] = std::from_chars(fields[2].data(), last, job.wait_status);
  if (error != std::errc() || end != last || job.wait_status < 0) return Fail(failure);
  return job;
}

}  // namespace

bool SlurmQueueJob::Lives() const { return Contains(kLiving, state); }

int SlurmQueueJob::ExitCode() const {
  const int signal = wait_status & 0x7f;
  return signal != 0 ? 128 + signal : (wait_status >> 8) & 0xff;
}

int SlurmQueueJob::UnbegunCode() const {
  if (state == "FAILED" && ExitCode() != 0) return ExitCode();
  return state == "CANCELLED" || state == "PREEMPTED" ? exit_code::kTerminated : exit_code::kKilled;
}

const SlurmQueueJob* FindSlurmJob(const std::vector<SlurmQueueJob>& jobs, string_view name, string_view begun_by) {
  const SlurmQueueJob* found = nullptr;
  for (const SlurmQueueJob& job : jobs) {
    if (job.name != name || (!begun_by.empty() && job.number != begun_by)) continue;
    if (found == nullptr || !found->Lives()) found = &job;
  }
  return found;
}

Result<std::vector<SlurmQueueJob>> ParseSlurmJobs(string_view text) {
  if (!text.starts_with(kHeader)) {
    return Fail(DataLossError("squeue: not a list of jobs: line=\"" + std::string(text.substr(0, text.find('\n'))) +
                              "\" wanted=\"" + std::string(kHeader.substr(0, kHeader.size() - 1)) + "\""));
  }
  text.remove_prefix(kHeader.size());
  std::vector<SlurmQueueJob> jobs;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == string_view::npos) {
      return Fail(DataLossError("squeue: the last line is not whole: line=\"" + std::string(text) + "\""));
    }
    if (const string_view line = text.substr(0, end); IsOurs(line)) {
      FERMENT_ASSIGN_OR_RETURN(SlurmQueueJob job, ParseLine(line));
      jobs.push_back(std::move(job));
    }
    text.remove_prefix(end + 1);
  }
  return jobs;
}

Result<std::string> ParseSlurmNumber(string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::string_view number = line.substr(0, line.find(';'));
  if (IsNumber(number) && line.size() + 1 == text.size()) return std::string(number);
  return Fail(DataLossError("sbatch: not the number of a job: text=\"" + std::string(text) + "\""));
}

Result<std::string> SlurmQueue::Ask(const std::vector<std::string>& argv) const {
  const auto program = event::FindProgram(argv[0]);
  auto output = program ? event::OutputOf(WithoutNarrowing(argv), deadline_, event::StandardError::kApart)
                        : Result<event::ProgramOutput>(Fail(program.error()));
  if (!output && output.error().code() == StatusCode::kDeadlineExceeded) {
    return Fail(UnavailableError(argv[0] + ": " + std::string(output.error().message())));
  }
  if (!output && output.error().code() == StatusCode::kNotFound) {
    return Fail(output.error()
                    .With("Slurm's programs must be on PATH (Debian: apt-get install slurm-client)")
                    .WithExitCode(exit_code::kMissingService));
  }
  if (!output) return Fail(output.error().With(argv[0]));
  if (output->exit_code == 0) return std::move(output->text);
  const std::string why =
      argv[0] + " ended with exit code " + std::to_string(output->exit_code) + ": " + event::LastLine(output->errors);
  if (WillPass(output->errors)) return Fail(UnavailableError(why));
  return Fail(FailedPreconditionError(why).WithExitCode(exit_code::kMissingService));
}

Result<std::vector<SlurmQueueJob>> SlurmQueue::List() const {
  const auto text =
      Ask({"squeue", OfThisUser(), "--states=all", "--Format=JobID:|,State:|,exit_code:|,Reason:|,Name:|"});
  // Whatever it refuses, it says nothing of the jobs.
  if (!text && text.error().code() == StatusCode::kFailedPrecondition) {
    return Fail(UnavailableError(std::string(text.error().message())));
  }
  if (!text) return Fail(text.error());
  return ParseSlurmJobs(*text);
}

Result<std::string> SlurmQueue::Submit(const std::filesystem::path& script, const std::string& name) const {
  // Variables of the environment (SBATCH_JOB_NAME ...) win over the script's own lines, options over both.
  FERMENT_ASSIGN_OR_RETURN(const std::string text, Ask({"sbatch", "--parsable", "--job-name=" + name, "--no-requeue",
                                                        "--dependency=singleton", script.string()}));
  return ParseSlurmNumber(text);
}

Status SlurmQueue::Signal(const std::string& name, int signal) const {
  const auto text = Ask({"scancel", OfThisUser(), "--name=" + name, "--batch", "--signal=" + std::to_string(signal)});
  return text ? Status() : text.error();
}

Status SlurmQueue::Cancel(const std::string& name) const {
  const auto text = Ask({"scancel", OfThisUser(), "--name=" + name});
  return text ? Status() : text.error();
}

}  // namespace ferment::coordinator
