// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_processes.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

/// Hands the folder of each process in /proc to `look` until it returns false.
void ForEachProcess(const std::function<bool(const fs::path&)>& look) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (!std::ranges::all_of(name, [](unsigned char letter) { return std::isdigit(letter) != 0; })) continue;
    if (!look(entry.path())) return;
  }
}

/// Hands the target of each open file of a process to `look`.
void ForEachOpenFile(const fs::path& process, const std::function<void(const std::string&)>& look) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(process / "fd", error)) {
    std::error_code gone;
    const fs::path target = fs::read_symlink(entry.path(), gone);
    if (!gone) look(target.string());
  }
}

struct Listener {
  unsigned user = 0;
  unsigned long inode = 0;
};

std::optional<Listener> FindListener(const char* table, std::uint16_t port) {
  constexpr unsigned kListening = 0x0A;
  std::ifstream file(table);
  for (std::string line; std::getline(file, line);) {
    unsigned local_port = 0;
    unsigned state = 0;
    Listener listener;
    const int fields = std::sscanf(line.c_str(), " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu",
                                   &local_port, &state, &listener.user, &listener.inode);
    if (fields == 4 && state == kListening && local_port == port) return listener;
  }
  return std::nullopt;
}

}  // namespace

std::set<std::string> WithoutUsed(std::set<std::string> files) {
  ForEachProcess([&files](const fs::path& process) {
    std::ifstream maps(process / "maps");
    for (std::string line; std::getline(maps, line);) {
      const std::size_t path = line.find('/');
      if (path != std::string::npos) files.erase(line.substr(path));
    }
    ForEachOpenFile(process, [&files](const std::string& target) { files.erase(target); });
    return !files.empty();
  });
  return files;
}

std::optional<PortHolder> HolderOf(std::uint16_t port) {
  auto listener = FindListener("/proc/net/tcp", port);
  if (!listener) listener = FindListener("/proc/net/tcp6", port);
  if (!listener) return std::nullopt;
  PortHolder holder{.user = listener->user};
  const std::string socket = "socket:[" + std::to_string(listener->inode) + "]";
  ForEachProcess([&](const fs::path& process) {
    ForEachOpenFile(process, [&](const std::string& target) {
      if (target == socket) holder.pid = std::stoi(process.filename().string());
    });
    if (holder.pid == 0) return true;
    std::getline(std::ifstream(process / "comm"), holder.program);
    return false;
  });
  return holder;
}

}  // namespace ferment::cli
