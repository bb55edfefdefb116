// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_machine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <set>

#include "cli/doctor/doctor_processes.h"
#include "common/base/usable_cores.h"
#include "common/event/admin_server.h"
#include "common/event/child_process.h"
#include "common/event/program_output.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

std::string GiBText(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / static_cast<double>(kGiB));
  return text;
}

Finding CheckProgram(const std::string& name, const fs::path& program, const std::string& fix) {
  const auto path = event::FindProgram(program.string());
  return {name, path.has_value(), path ? path->string() : "missing", fix};
}

Finding CheckSync(const fs::path& folder) {
  const fs::path file = folder / (".ferment-doctor-" + std::to_string(getpid()));
  const std::string fix = "keep run folders on a local disk that this user may write to: --run-dir";
  const int handle = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (handle < 0) return {"fsync", false, "cannot write in " + folder.string(), fix};
  const auto before = std::chrono::steady_clock::now();
  constexpr int kRounds = 10;
  bool good = true;
  for (int round = 0; round < kRounds; ++round) good = good && write(handle, "x", 1) == 1 && fsync(handle) == 0;
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  close(handle);
  std::error_code ignored;
  fs::remove(file, ignored);
  char text[64];
  std::snprintf(text, sizeof text, "%.1f ms each", took.count() / kRounds);
  return {"fsync", good && took.count() / kRounds < 100, good ? text : "failed", fix};
}

Finding CheckLoopback() {
  event::EventLoop loop;
  const auto server = event::AdminServer::Start(loop, {}, {});
  const std::string found = server ? "127.0.0.1 has free ports" : std::string(server.error().message());
  loop.Stop();
  return {"loopback", server.has_value(), found, "bring the interface up: ip link set lo up"};
}

Finding CheckCores() {
  const unsigned cores = UsableCores();
  return {"cores", cores >= 2, std::to_string(cores), "two cores or more; it works on one, slowly"};
}

/// Returns: the fields of "0, NVIDIA H100, 0, [N/A]".
std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(',', begin), line.size());
    fields.push_back(event::FirstLine(line.substr(begin, end - begin)));
    begin = end + 1;
  }
  return fields;
}

}  // namespace

Findings CheckMachine(const fs::path& folder) {
  const fs::path programs = event::ProgramFolder();
  const std::string build = "build it: make build";
  return {
      CheckProgram("mpirun", "mpirun", "install Open MPI (Debian: apt-get install openmpi-bin)"),
      CheckProgram("coordinator", programs / "ferment-coordinator", build),
      CheckProgram("labeler", programs / "ferment-labeler", build),
      CheckProgram("trainer", programs / "ferment-trainer", build),
      CheckCores(),
      CheckLoopback(),
      CheckSync(folder),
      CheckSharedMemory("/dev/shm"),
      CheckStaleFiles("/dev/shm"),
      CheckGpus(),
  };
}

Finding CheckStore(const std::string& network_file_system) {
  if (network_file_system.empty()) return {"store", true, "not on a network file system"};
  return {"store", true,
          "`ferment run` keeps its store in the run's folder, which is on a network file system (" +
              network_file_system + "): one machine at a time; ferment-coordinator wants its --store elsewhere"};
}

Finding CheckSpace(const fs::path& folder, std::uint64_t wanted, const std::string& purpose) {
  const std::string fix = "free some space, or keep run folders elsewhere: --run-dir";
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return {"disk", false, folder.string() + ": " + error.message(), fix};
  return {"disk", space.available >= wanted,
          GiBText(space.available) + " free; " + GiBText(wanted) + " wanted for " + purpose, fix};
}

Finding CheckSharedMemory(const fs::path& folder) {
  const std::string fix =
      "in a container: --shm-size=1g, or an emptyDir with medium: Memory; else remove what fills it";
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return {"/dev/shm", false, folder.string() + ": " + error.message(), fix};
  // 1 GiB is what the ranks of a machine with eight GPUs take; while a job runs, part of it is in use, and that is
  // well.
  const bool good = space.capacity >= kGiB && space.available >= kGiB / 4;
  return {"/dev/shm", good, GiBText(space.available) + " free of " + GiBText(space.capacity), fix};
}

Finding CheckStaleFiles(const fs::path& folder) {
  std::set<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    struct stat status = {};
    if (!entry.path().filename().string().starts_with("nccl-") || lstat(entry.path().c_str(), &status) != 0) continue;
    if (S_ISREG(status.st_mode) && status.st_uid == geteuid()) files.insert(entry.path().string());
  }
  const std::set<std::string> stale = files.empty() ? files : WithoutUsed(files);
  if (stale.empty()) return {"stale shm", true, "no nccl-* file that a dead process has left"};
  std::string fix = "remove them, unless a container that shares this folder uses them: rm";
  for (const std::string& file : stale) fix += " " + file;
  return {"stale shm", false, std::to_string(stale.size()) + " nccl-* files that dead processes have left", fix};
}

Finding CheckGpus() {
  if (!event::FindProgram("nvidia-smi"))
    return {"gpu", true, "no nvidia-smi: training and labeling use the processors"};
  const auto answer = event::OutputOf({"nvidia-smi",
                                       "--query-gpu=index,name,ecc.errors.uncorrected.volatile.total,"
                                       "ecc.errors.uncorrected.aggregate.total",
                                       "--format=csv,noheader"},
                                      std::chrono::seconds(30));
  const std::string driver = "look for the driver's reason in `dmesg | grep -i nvrm`; or set resources.device: cpu";
  if (!answer) return {"gpu", false, "nvidia-smi: " + std::string(answer.error().message()), driver};
  if (answer->exit_code != 0) return {"gpu", false, "nvidia-smi: " + event::LastLine(answer->text), driver};
  std::string found;
  bool good = true;
  for (std::size_t begin = 0; begin < answer->text.size();) {
    const std::size_t end = std::min(answer->text.find('\n', begin), answer->text.size());
    const std::vector<std::string> gpu = Fields(answer->text.substr(begin, end - begin));
    begin = end + 1;
    if (gpu.size() != 4) continue;
    // "[N/A]" or "[Not Supported]" where the card has no error correction.
    const bool counted = !gpu[2].starts_with("[");
    const bool sound = !counted || gpu[2] == "0";
    good = good && sound;
    found += (found.empty() ? "" : "; ") + gpu[0] + " " + gpu[1];
    if (counted) found += ", uncorrected memory errors " + gpu[2] + " since boot, " + gpu[3] + " ever";
  }
  if (found.empty()) return {"gpu", false, "nvidia-smi sees none", driver};
  return {"gpu", good, found,
          "keep jobs off that card and reset it: nvidia-smi -r -i INDEX; replace it if they come back"};
}

}  // namespace ferment::cli
