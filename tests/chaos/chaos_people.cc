// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_people.h"

#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/base/check.h"
#include "common/base/json.h"

namespace ferment::chaos {
namespace {

constexpr std::chrono::seconds kPatience{30};
/// A run is cancelled once so many of its shards are committed.
constexpr std::uint64_t kSomeCommits = 12;

std::string TextOf(const std::filesystem::path& file) {
  std::ifstream in(file);
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The codes with which a command says that it cannot tell, or that nobody answered.
bool Unknown(int code) { return code == exit_code::kMissingService || code >= 128; }

/// Returns: the line with the answer of a command, beside which log lines may stand; empty where there is none.
Json AnswerIn(const std::string& output) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    auto json = ParseJson(line);
    if (json && json->is_object() && json->contains("run_id")) return std::move(*json);
  }
  return Json::object();
}

std::uint64_t CommittedShards(const Json& run) {
  std::uint64_t sum = 0;
  for (const Json& job : run.value("jobs", Json::array())) {
    const Json shards = job.value("shards", Json::object());
    const auto found = shards.find("committed");
    if (found == shards.end()) continue;
    sum += found->is_string() ? std::stoull(found->get<std::string>()) : found->get<std::uint64_t>();
  }
  return sum;
}

}  // namespace

Person::Person(ChaosCluster& cluster, std::string spec, std::string run_dir, std::deque<Wish> wishes,
               std::chrono::milliseconds pause)
    : cluster_(cluster),
      spec_(std::move(spec)),
      run_dir_(std::move(run_dir)),
      wishes_(std::move(wishes)),
      pause_(pause) {}

std::vector<std::string> Person::Command() const {
  std::vector<std::string> argv = {(ProgramsFolder() / "ferment").string()};
  switch (wishes_.front()) {
    case Wish::kSubmit:
      argv.insert(argv.end(), {"submit", spec_, "--run-dir", run_dir_, "--json"});
      break;
    case Wish::kCancel:
      argv.insert(argv.end(), {"cancel", run_id_});
      break;
    case Wish::kWaitForCommits:
    case Wish::kWaitForEnd:
      argv.insert(argv.end(), {"get", run_id_, "--json"});
      break;
  }
  argv.insert(argv.end(), {"--coordinator", cluster_.address_for_people(), "--tls-dir",
                           cluster_.CertificatesOf("submitter").string()});
  return argv;
}

void Person::Say(const std::string& outcome, const std::string& note) {
  if (wishes_.front() != Wish::kSubmit && wishes_.front() != Wish::kCancel) return;
  HistoryLine line;
  line.what = wishes_.front() == Wish::kSubmit ? "submit" : "cancel";
  line.outcome = outcome;
  line.run = run_id_;
  line.digest = line.what == "submit" ? run_dir_ : "";
  line.note = note;
  cluster_.history().Add(std::move(line));
}

void Person::Begin(Instant now) {
  std::filesystem::create_directories(run_dir_);
  std::filesystem::remove(run_dir_ + ".out");
  Say("invoke", "");
  auto started = event::ChildProcess::Start({.argv = Command(), .output = run_dir_ + ".out"});
  FERMENT_CHECK(started.has_value()) << started.error().ToString();
  command_ = std::move(*started);
  give_up_ = now + kPatience;
}

void Person::Tick(Instant now) {
  if (done() || now < next_) return;
  if (!command_) return Begin(now);
  if (now > give_up_) command_->Signal(SIGKILL);
  if (const auto code = command_->Poll()) {
    command_.reset();
    Finish(*code, now);
  }
}

void Person::Looked(const std::string& output) {
  const Json run = AnswerIn(output);
  state_ = run.value("state", "RUN_STATE_RUNNING").substr(std::string("RUN_STATE_").size());
  for (char& letter : state_) letter = static_cast<char>(std::tolower(letter));
  failure_ = run.value("failure", "");
  committed_ = CommittedShards(run);
}

void Person::Granted(Instant now) {
  wishes_.pop_front();
  next_ = now;
}

void Person::Finish(int code, Instant now) {
  next_ = now + pause_;
  const std::string output = TextOf(run_dir_ + ".out");
  const Wish wish = wishes_.front();
  if (code != 0) return Say(Unknown(code) ? "info" : "fail", "exit=" + std::to_string(code) + " " + output);
  if (wish == Wish::kSubmit) {
    run_id_ = AnswerIn(output).value("run_id", "");
    state_ = "running";
    committed_ = 0;
  }
  if (wish == Wish::kSubmit || wish == Wish::kCancel) {
    Say("ok", "");
    return Granted(now);
  }
  Looked(output);
  const bool ended = state_ != "running";
  // A run that has succeeded is neither cancelled nor opened again.
  if (state_ == "succeeded") return wishes_.clear();
  if (ended || (wish == Wish::kWaitForCommits && committed_ >= kSomeCommits)) Granted(now);
}

}  // namespace ferment::chaos
