// SPDX-License-Identifier: Apache-2.0
#include "worker/tensorboard/tensorboard_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "common/io/errno_status.h"
#include "common/io/file_calls.h"
#include "worker/tensorboard/tensorboard_event.h"

namespace ferment::worker {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

/// Returns: now, or later than every file of the folder says.
std::int64_t SecondsOfANewFile(const std::filesystem::path& folder, WallTime now) {
  std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  std::error_code unreadable;
  for (std::filesystem::directory_iterator entry(folder, unreadable), end; !unreadable && entry != end;
       entry.increment(unreadable)) {
    const std::string name = entry->path().filename().string();
    std::int64_t other = 0;
    if (!name.starts_with(kPrefix)) continue;
    const char* digits = name.data() + kPrefix.size();
    if (std::from_chars(digits, name.data() + name.size(), other).ec == std::errc())
      seconds = std::max(seconds, other + 1);
  }
  return seconds;
}

std::string NameOfANewFile(const std::filesystem::path& folder, WallTime now) {
  std::array<char, 256> host = {};
  if (gethostname(host.data(), host.size() - 1) != 0) host = {"unknown"};
  std::array<char, 24> seconds = {};
  // As many digits as TensorBoard's own writer has, so that names sort as times do.
  std::snprintf(seconds.data(), seconds.size(), "%010lld", static_cast<long long>(SecondsOfANewFile(folder, now)));
  return std::string(kPrefix) + seconds.data() + "." + host.data() + "." + std::to_string(getpid()) + ".0";
}

}  // namespace

TensorboardFile::TensorboardFile(std::filesystem::path folder, std::uint64_t next_step, const Clock& clock)
    : folder_(std::move(folder)), clock_(clock), next_step_(next_step) {}

TensorboardFile::~TensorboardFile() { End(); }

Status TensorboardFile::Append(std::string_view records, std::uint64_t last_step) {
  if (handle_ < 0) FERMENT_RETURN_IF_ERROR(Begin());
  const Status written = io::WriteAll(handle_, std::as_bytes(std::span(records)), "cannot write", path_);
  if (!written.ok()) {
    End();
    return written;
  }
  has_records_ = true;
  next_step_ = last_step + 1;
  return {};
}

Status TensorboardFile::Begin() {
  // Before anything that may hang until the process is at its end, and its clock gone.
  const WallTime now = clock_.WallNow();
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return io::WriteErrno(error.value(), "cannot create the folder", folder_);
  path_ = folder_ / NameOfANewFile(folder_, now);
  handle_ = io::Uninterrupted(
      [&] { return ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666); });
  if (handle_ < 0) return io::WriteErrno(errno, "cannot create", path_);
  const std::string beginning = VersionRecord(now) + RestartRecord(now, next_step_);
  const Status written = io::WriteAll(handle_, std::as_bytes(std::span(beginning)), "cannot write", path_);
  if (!written.ok()) End();
  return written;
}

void TensorboardFile::End() {
  if (handle_ < 0) return;
  ::close(std::exchange(handle_, -1));
  // A disk that stays full would have a file for each attempt.
  if (!std::exchange(has_records_, false)) ::unlink(path_.c_str());
}

}  // namespace ferment::worker
