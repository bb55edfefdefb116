// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process_resources.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>

namespace ferment::testing {

namespace fs = std::filesystem;

std::optional<ProcessResources> ReadResources(pid_t pid) {
  const fs::path proc = fs::path("/proc") / std::to_string(pid);
  ProcessResources found;
  std::ifstream status(proc / "status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string name;
    double value = 0;
    words >> name >> value;
    if (name == "VmRSS:") found.rss_mib = value / 1024;
    if (name == "RssAnon:") found.anonymous_mib = value / 1024;
    if (name == "VmHWM:") found.peak_rss_mib = value / 1024;
    if (name == "Threads:") found.threads = static_cast<int>(value);
  }
  std::error_code gone;
  found.files = static_cast<int>(std::distance(fs::directory_iterator(proc / "fd", gone), fs::directory_iterator()));
  if (gone || found.rss_mib == 0) return std::nullopt;
  return found;
}

}  // namespace ferment::testing
