// SPDX-License-Identifier: Apache-2.0
#include "common/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "common/base/log_counts.h"

namespace ferment::metrics {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

/// Returns: when this process began, in seconds since 1970: the machine's start and the process' ticks after it.
std::optional<double> StartTime() {
  double boot = 0;
  std::ifstream machine("/proc/stat");
  for (std::string word; machine >> word;)
    if (word == "btime") machine >> boot;
  std::ifstream process("/proc/self/stat");
  // The program's name, the second field, may hold blanks; the start is the 20th after it.
  process.ignore(std::numeric_limits<std::streamsize>::max(), ')');
  std::string passed_over;
  for (int i = 0; i < 19; ++i) process >> passed_over;
  double ticks = 0;
  if (boot == 0 || !(process >> ticks)) return std::nullopt;
  return boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::optional<double> CountOpenFiles() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end;
       entry.increment(error))
    ++count;
  if (error) return std::nullopt;
  return count - 1;  // the folder itself
}

/// `level`: as in the lines.
Counter& LogCounter(MetricRegistry& registry, const char* level) {
  return registry.MakeCounter("ferment_log_messages_total", "Warnings and errors that the process has logged.",
                              {{"level", level}});
}

void CatchUp(Counter& counter, double now) { counter.Add(std::max(0.0, now - counter.Value())); }

}  // namespace

ProcessMetrics::ProcessMetrics(MetricRegistry& registry)
    : cpu_(registry.MakeCounter("process_cpu_seconds_total", "User and system CPU time in seconds.")),
      resident_(registry.MakeGauge("process_resident_memory_bytes", "Resident memory.")),
      virtual_(registry.MakeGauge("process_virtual_memory_bytes", "Virtual memory.")),
      open_files_(registry.MakeGauge("process_open_fds", "Open file descriptors.")),
      max_files_(registry.MakeGauge("process_max_fds", "Most file descriptors that may be open.")),
      start_time_(registry.MakeGauge("process_start_time_seconds", "When the process began, in seconds since 1970.")),
      warnings_(LogCounter(registry, "warning")),
      errors_(LogCounter(registry, "error")) {
  if (const auto start = StartTime()) start_time_.Set(*start);
  Refresh();
}

void ProcessMetrics::Refresh() {
  const MutexLock lock(mutex_);
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  CatchUp(cpu_, Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  CatchUp(warnings_, static_cast<double>(CountLogged(LogLevel::kWarning)));
  CatchUp(errors_, static_cast<double>(CountLogged(LogLevel::kError)));
  double pages = 0;
  double resident = 0;
  if (std::ifstream memory("/proc/self/statm"); memory >> pages >> resident) {
    const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
    virtual_.Set(pages * page);
    resident_.Set(resident * page);
  }
  if (const auto open = CountOpenFiles()) open_files_.Set(*open);
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) max_files_.Set(static_cast<double>(limit.rlim_cur));
}

}  // namespace ferment::metrics
