// SPDX-License-Identifier: Apache-2.0
#include "cli/fleet.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/base/environment_names.h"
#include "common/base/json_field.h"
#include "common/base/random.h"
#include "common/event/program_output.h"
#include "common/event/slurm_record.h"

namespace ferment::cli {
namespace {

using std::chrono::milliseconds;

// A labeler finishes its batch and hands its leases back; a coordinator waits for the trainers' checkpoints.
constexpr milliseconds kLabelerGrace{10'000};
constexpr milliseconds kCoordinatorGrace{60'000};
constexpr milliseconds kLook{50};
// KILL needs no consent, only a moment of the kernel's time.
constexpr milliseconds kKillGrace{3'000};
constexpr milliseconds kKillLook{5};
constexpr milliseconds kScancelPatience{5'000};

/// Returns: whether starting it again would end the same way.
bool IsPermanent(int code) {
  return code == exit_code::kUsage || code == exit_code::kBadSpec || code == exit_code::kMissingService ||
         code == exit_code::kCannotWrite || code == exit_code::kNotAllowed || code == exit_code::kUnreadableState;
}

/// A run on this machine alone needs no credentials, whatever the person has set for coordinators elsewhere.
std::vector<std::pair<std::string, std::string>> EnvironmentOf(std::uint32_t threads) {
  std::vector<std::pair<std::string, std::string>> env = {{"OMP_NUM_THREADS", std::to_string(threads)}};
  for (const char* name : environment::kCredentials) env.emplace_back(name, "");
  return env;
}

/// Returns: the message of the last line of a JSON or text log; empty where there is none.
std::string LastLine(const std::filesystem::path& log) {
  std::ifstream stream(log);
  std::string line;
  std::string last;
  while (std::getline(stream, line)) {
    if (!line.empty()) last = line;
  }
  const auto json = ParseJson(last);
  if (!json || !json->is_object()) return last;
  std::string text = TextOr(Field(*json, "msg"), "");
  for (const char* key : {"error", "message", "reason"}) {
    if (json->contains(key) && (*json)[key].is_string()) text += ": " + (*json)[key].get<std::string>();
  }
  return text;
}

}  // namespace

Fleet::Fleet(RunLayout layout, FleetConfig config, const Clock& clock, std::function<void(const std::string&)> note)
    : layout_(std::move(layout)),
      config_(std::move(config)),
      clock_(clock),
      note_(std::move(note)),
      former_(event::UnfinishedSlurmStarts(layout_.root())) {}

Fleet::~Fleet() { Kill(); }

Status Fleet::Start(const std::function<bool()>& interrupted) {
  // A coordinator takes the ports in the file again where they are free: trainers of a former one that Slurm runs find
  // it.
  members_.push_back(MakeMember(
      "coordinator", "coordinator",
      {(config_.programs / "ferment-coordinator").string(), "--store", "sqlite:" + layout_.Database().string(),
       "--store-on-network", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--address-file",
       AddressFile().string(), "--trainer", (config_.programs / "ferment-trainer").string()}));
  FERMENT_RETURN_IF_ERROR(StartMember(members_[0]));
  FERMENT_RETURN_IF_ERROR(AwaitCoordinator(interrupted));
  // After a restart it must be found where labelers and trainers look for it.
  std::vector<std::string>& argv = members_[0].argv;
  for (std::size_t word = 0; word + 1 < argv.size(); ++word) {
    if (argv[word] == "--listen") argv[word + 1] = address_;
    if (argv[word] == "--admin") argv[word + 1] = admin_address_;
  }
  for (std::uint32_t number = 1; number <= config_.labelers; ++number) {
    const std::string name = "labeler-" + std::to_string(number);
    members_.push_back(MakeMember(
        "labeler", name,
        {(config_.programs / "ferment-labeler").string(), "--coordinator", address_, "--name", name, "--threads",
         std::to_string(config_.threads), "--device", config_.labeler_device, "--gpu", std::to_string(number - 1)}));
    FERMENT_RETURN_IF_ERROR(StartMember(members_.back()));
  }
  return {};
}

Status Fleet::Tend(const std::string& phase) {
  if (phase != phase_) {
    phase_ = phase;
    for (Member& member : members_) {
      member.restarts = 0;
      member.backoff.Reset();
    }
  }
  for (Member& member : members_) FERMENT_RETURN_IF_ERROR(TendMember(member));
  return {};
}

Status Fleet::TendMember(Member& member) {
  if (member.process) {
    const std::optional<int> code = member.process->Poll();
    if (!code) return {};
    RemoveProcessRecord(layout_.Processes(), member.record);
    member.process.reset();
    if (IsPermanent(*code) || member.restarts >= config_.max_restarts) return DeathOf(member, *code);
    member.start_again = clock_.Now() + member.backoff.Next();
    note_(member.name + " ended with code " + std::to_string(*code) + "; starting it again");
  }
  if (member.start_again && clock_.Now() >= *member.start_again) {
    ++member.restarts;
    return StartMember(member);
  }
  return {};
}

void Fleet::Drain(const std::function<bool()>& hurry) {
  for (Member& member : members_) {
    if (member.role == "labeler" && member.process) member.process->Signal(SIGTERM);
  }
  for (Member& member : members_) {
    if (member.role == "labeler") EndMember(member, kLabelerGrace, hurry);
  }
  for (Member& member : members_) EndMember(member, kCoordinatorGrace, hurry);
}

void Fleet::Kill() {
  for (Member& member : members_) {
    if (!member.process) continue;
    member.process->SignalGroup(SIGKILL);
    member.process->WaitFor(std::chrono::seconds(5));
    RemoveProcessRecord(layout_.Processes(), member.record);
    member.process.reset();
  }
  if (members_.empty()) return;
  members_.clear();
  const std::vector<event::ProcessRecord> left = event::ReadProcessRecords(layout_.Processes());
  for (const event::ProcessRecord& record : left) {
    if (record.Alive()) kill(-record.pid, SIGKILL);
  }
  const MonotonicTime give_up = clock_.Now() + kKillGrace;
  for (const event::ProcessRecord& record : left) {
    while (record.Alive() && clock_.Now() < give_up) std::this_thread::sleep_for(kKillLook);
    if (!record.Alive()) RemoveProcessRecord(layout_.Processes(), record);
  }
  for (const std::string& name : event::UnfinishedSlurmStarts(layout_.root())) {
    if (std::find(former_.begin(), former_.end(), name) != former_.end()) continue;
    (void)event::SlurmRecord(layout_.root(), name).Withdraw();
    (void)event::OutputOf({"scancel", "--user=" + std::to_string(geteuid()), "--name=" + name}, kScancelPatience);
  }
}

Fleet::Member Fleet::MakeMember(std::string role, std::string name, std::vector<std::string> argv) const {
  std::filesystem::path log = layout_.Log(name);
  const std::uint64_t seed = StreamOf(name);
  return {.role = std::move(role),
          .name = std::move(name),
          .argv = std::move(argv),
          .log = std::move(log),
          .process = std::nullopt,
          .record = {},
          .backoff = Backoff(config_.first_pause, config_.longest_pause, seed),
          .start_again = std::nullopt};
}

Status Fleet::StartMember(Member& member) {
  member.start_again.reset();
  auto child = event::ChildProcess::Start({.argv = member.argv,
                                           .env = EnvironmentOf(member.role == "labeler" ? config_.threads : 1),
                                           .output = member.log});
  if (!child) {
    return NotFoundError("cannot start the " + member.role + ": " + std::string(child.error().message()) +
                         "; build it with `make build`; `ferment doctor` looks for all of them")
        .WithExitCode(ProcessExitCode(child.error()));
  }
  member.record = {member.role, child->pid(), child->start_time(), member.argv[0]};
  member.process = std::move(*child);
  return WriteProcessRecord(layout_.Processes(), member.record);
}

Status Fleet::AwaitCoordinator(const std::function<bool()>& interrupted) {
  const MonotonicTime give_up = clock_.Now() + config_.start_timeout;
  while (!ReadAddressFile()) {
    if (interrupted()) return CancelledError("interrupted").WithExitCode(exit_code::kInterrupted);
    if (const auto code = members_[0].process->WaitFor(kLook)) return DeathOf(members_[0], *code);
    if (clock_.Now() >= give_up) {
      return UnavailableError("the coordinator does not serve: log=" + members_[0].log.string())
          .WithExitCode(exit_code::kMissingService);
    }
  }
  return {};
}

bool Fleet::ReadAddressFile() {
  std::ifstream stream(AddressFile());
  std::stringstream text;
  text << stream.rdbuf();
  const auto json = ParseJson(text.str());
  if (!json) return false;
  const auto pid = static_cast<std::uint64_t>(members_[0].process->pid());
  if (CountOr(Field(*json, "pid"), pid) != pid) return false;
  address_ = TextOr(Field(*json, "grpc"), "");
  admin_address_ = TextOr(Field(*json, "admin"), "");
  return !address_.empty();
}

Status Fleet::DeathOf(const Member& member, int exit_code) const {
  std::string message = member.name + " ended with code " + std::to_string(exit_code);
  if (member.restarts > 0) message += " after " + std::to_string(member.restarts) + " restarts in this phase";
  const std::string last = LastLine(member.log);
  if (!last.empty()) message += ": " + last;
  // Its own words may not have found room in the log.
  if (exit_code == exit_code::kStorageFailed)
    message += "; the disk is full or broken: free some space and run the same command again";
  message += "; its log: " + member.log.string();
  return UnavailableError(message).WithExitCode(exit_code == 0 ? exit_code::kBug : exit_code);
}

void Fleet::EndMember(Member& member, milliseconds grace, const std::function<bool()>& hurry) {
  if (!member.process) return;
  member.process->Signal(SIGTERM);
  const MonotonicTime give_up = clock_.Now() + grace;
  while (!member.process->WaitFor(kLook) && clock_.Now() < give_up && !hurry()) {
  }
  if (!member.process->Poll()) return;
  RemoveProcessRecord(layout_.Processes(), member.record);
  member.process.reset();
}

}  // namespace ferment::cli
