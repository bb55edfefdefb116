// SPDX-License-Identifier: Apache-2.0
#include "common/base/usable_cores.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

namespace ferment {
namespace {

namespace fs = std::filesystem;

struct Hierarchy {
  std::string mounted_part;
  std::string mount_point;
  bool second_version = false;
};

bool Lists(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, ',');) {
    if (one == word) return true;
  }
  return false;
}

/// proc(5), mountinfo: ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS [FIELD...] - TYPE SOURCE SUPEROPTIONS.
std::optional<Hierarchy> ParseMount(const std::string& line) {
  std::istringstream words(line);
  std::string skipped;
  Hierarchy found;
  words >> skipped >> skipped >> skipped >> found.mounted_part >> found.mount_point;
  while (words >> skipped && skipped != "-") continue;
  std::string type;
  std::string options;
  words >> type >> skipped >> options;
  found.second_version = type == "cgroup2";
  if (found.second_version || (type == "cgroup" && Lists(options, "cpu"))) return found;
  return std::nullopt;
}

/// Returns: where this process is in a hierarchy, of lines `ID:CONTROLLERS:PATH`.
std::string GroupIn(const Hierarchy& hierarchy, const fs::path& root) {
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (hierarchy.second_version ? controllers.empty() : Lists(controllers, "cpu")) return line.substr(second + 1);
  }
  return "/";
}

/// Microseconds of all cores together in each period; nothing where it has no limit.
std::optional<double> LimitOf(const fs::path& group, bool second_version) {
  double quota = 0;
  double period = 0;
  if (second_version) {
    std::ifstream(group / "cpu.max") >> quota >> period;  // "max" is no number
  } else {
    std::ifstream(group / "cpu.cfs_quota_us") >> quota;  // -1: none
    std::ifstream(group / "cpu.cfs_period_us") >> period;
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

}  // namespace

unsigned CoresUnderLimits(const fs::path& root, unsigned cores) {
  double least = cores;
  std::ifstream mounts(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const auto hierarchy = ParseMount(line);
    if (!hierarchy) continue;
    // Without a namespace of its own a container sees its whole path, and only its own part is mounted.
    const fs::path group = fs::path(GroupIn(*hierarchy, root)).lexically_relative(hierarchy->mounted_part);
    const bool is_below = !group.empty() && *group.begin() != "..";
    fs::path folder = root / fs::path(hierarchy->mount_point).relative_path();
    least = std::min(least, LimitOf(folder, hierarchy->second_version).value_or(least));
    for (const fs::path& part : is_below ? group : fs::path()) {
      folder /= part;
      least = std::min(least, LimitOf(folder, hierarchy->second_version).value_or(least));
    }
  }
  return std::max(1U, static_cast<unsigned>(least));
}

unsigned UsableCores() {
  static const unsigned cores = CoresUnderLimits("/", std::max(1U, std::thread::hardware_concurrency()));
  return cores;
}

}  // namespace ferment
