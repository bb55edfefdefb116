// SPDX-License-Identifier: Apache-2.0
#include "common/event/process_record.h"

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/base/json.h"
#include "common/base/logging.h"

namespace ferment::event {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::filesystem::path FileOf(const std::filesystem::path& folder, const ProcessRecord& record) {
  return folder / (record.role + "-" + std::to_string(record.pid) + ".json");
}

Result<ProcessRecord> ReadRecord(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) return Fail(NotFoundError("gone: file=" + file.string()));
  std::stringstream text;
  text << stream.rdbuf();
  FERMENT_ASSIGN_OR_RETURN(const Json json, ParseJson(text.str()));
  ProcessRecord record;
  try {
    record.role = json.at("role").get<std::string>();
    record.pid = json.at("pid").get<pid_t>();
    record.start_time = json.at("start_time").get<std::uint64_t>();
    record.program = json.at("program").get<std::string>();
    record.job = json.value("job", "");
  } catch (const Json::exception& error) {
    return Fail(DataLossError(std::string("not a process record: ") + error.what()));
  }
  if (record.pid <= 1) return Fail(DataLossError("not a process record: pid=" + std::to_string(record.pid)));
  return record;
}

/// Returns: true once none of the processes lives, false when `patience` was over first.
bool WaitUntilGone(const std::vector<ProcessRecord>& records, milliseconds patience,
                   const std::stop_token& hurry = {}) {
  const auto deadline = steady_clock::now() + patience;
  for (;;) {
    bool alive = false;
    for (const ProcessRecord& record : records) alive = alive || record.Alive();
    if (!alive) return true;
    if (steady_clock::now() >= deadline || hurry.stop_requested()) return false;
    // They are not our children: nothing can be waited on but the clock.
    std::this_thread::sleep_for(milliseconds(20));
  }
}

}  // namespace

std::optional<ProcessStat> ReadProcessStat(pid_t pid) {
  std::ifstream stream("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stream, line)) return std::nullopt;
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const std::size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(end_of_name + 1));
  ProcessStat stat;
  fields >> stat.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> stat.start_time;
  return fields ? std::optional(stat) : std::nullopt;
}

std::optional<std::uint64_t> ProcessStartTime(pid_t pid) {
  const auto stat = ReadProcessStat(pid);
  if (!stat || stat->state == 'Z' || stat->state == 'X') return std::nullopt;
  return stat->start_time;
}

bool ProcessRecord::Alive() const { return ProcessStartTime(pid) == start_time; }

Status WriteProcessRecord(const std::filesystem::path& folder, const ProcessRecord& record) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  Json json = {
      {"role", record.role}, {"pid", record.pid}, {"start_time", record.start_time}, {"program", record.program}};
  if (!record.job.empty()) json["job"] = record.job;
  const auto file = FileOf(folder, record);
  const auto draft = file.string() + ".part";
  std::ofstream(draft) << json.dump() << '\n';
  std::filesystem::rename(draft, file, error);
  if (!error) return {};
  return PermissionDeniedError("cannot write a process record: file=" + file.string() + " error=" + error.message())
      .WithExitCode(exit_code::kCannotWrite);
}

void RemoveProcessRecord(const std::filesystem::path& folder, const ProcessRecord& record) {
  std::error_code ignored;
  std::filesystem::remove(FileOf(folder, record), ignored);
}

std::vector<ProcessRecord> ReadProcessRecords(const std::filesystem::path& folder) {
  std::vector<ProcessRecord> records;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".json") continue;
    auto record = ReadRecord(entry.path());
    if (record) {
      records.push_back(std::move(*record));
    } else if (record.error().code() != StatusCode::kNotFound) {
      LogWarning("process_record.damaged", {{"file", entry.path().string()}, {"error", record.error().message()}});
    }
  }
  return records;
}

Result<int> EndOrphans(const std::filesystem::path& folder, const std::stop_token& hurry, milliseconds patience) {
  const std::vector<ProcessRecord> records = ReadProcessRecords(folder);
  std::vector<ProcessRecord> orphans;
  for (const ProcessRecord& record : records) {
    if (record.Alive() && record.pid != getpid()) orphans.push_back(record);
  }
  for (const ProcessRecord& orphan : orphans) {
    LogInfo("orphan.ending", {{"role", orphan.role}, {"pid", orphan.pid}, {"program", orphan.program}});
    kill(orphan.pid, orphan.role == "trainer" ? SIGUSR2 : SIGTERM);
  }
  if (!WaitUntilGone(orphans, patience * 8 / 10, hurry)) {
    for (const ProcessRecord& orphan : orphans) {
      if (orphan.Alive()) kill(-orphan.pid, SIGKILL);
    }
    if (!WaitUntilGone(orphans, patience * 2 / 10)) {
      return Fail(DeadlineExceededError("a process of an earlier start survives KILL: see folder=" + folder.string())
                      .WithExitCode(exit_code::kFenced));
    }
  }
  for (const ProcessRecord& record : records) RemoveProcessRecord(folder, record);
  return static_cast<int>(orphans.size());
}

}  // namespace ferment::event
