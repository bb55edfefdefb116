// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/resource_watch.h"

#include <algorithm>
#include <cstdio>

#include "tests/support/process_resources.h"

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;

/// What T6.1 promises of a coordinator, and what a labeler without LibTorch stays far below.
constexpr double kMostMib = 256;

/// Beside what is kept on purpose. T6.1 allows 1 MiB a minute at 500 commits a second; a soak makes a hundredth of
/// those, so that a leak a call, a connection or a trainer shows at less. The whole: malloc has an arena a thread, and
/// gives back what was freed in none of them.
constexpr FlatnessLimits kMemory{.per_minute = 0.25, .in_all = 2};
/// A connection more or less, and gRPC's threads for the next calls, come and go; one lost each quarter of an hour
/// comes to a thousand in ten days.
constexpr FlatnessLimits kFiles{.per_minute = 1.0 / 15, .in_all = 3};
constexpr FlatnessLimits kThreads{.per_minute = 1.0 / 15, .in_all = 4};
/// Of the rows of the log and their table: what runs that have ended leave, and what stands behind the last snapshot.
constexpr FlatnessLimits kStore{.per_minute = 512 << 10, .in_all = 16 << 20};
/// Of the run folders that are kept: always as many.
constexpr FlatnessLimits kFolders{.per_minute = 128 << 10, .in_all = 4 << 20};

/// Each thread's first calls, and the first runs, take memory that stays: a coordinator grows by 6 MiB in three
/// minutes.
constexpr std::chrono::minutes kYouth{3};

/// Returns: what is judged of a series; memory without the process' youth.
std::optional<Growth> JudgedGrowth(const Watched& watched) {
  if (watched.what != "rss_mib") return GrowthOf(watched.readings);
  const auto grown =
      std::ranges::find_if(watched.readings, [](const Reading& reading) { return reading.at >= kYouth; });
  return GrowthOf({grown, watched.readings.end()});
}

/// Returns: the value at a time, on straight lines between the readings; 0 where there are none.
double ValueAt(const std::vector<Reading>& readings, std::chrono::milliseconds at) {
  const auto after = std::ranges::upper_bound(readings, at, {}, &Reading::at);
  if (after == readings.begin()) return readings.empty() ? 0 : after->value;
  const Reading& before = *std::prev(after);
  if (after == readings.end()) return before.value;
  return before.value + (after->value - before.value) * static_cast<double>((at - before.at).count()) /
                            static_cast<double>((after->at - before.at).count());
}

/// Returns: how what the leader remembers grew in what is judged of its life.
std::optional<Growth> RememberedGrowth(const Watched& watched, const std::vector<Reading>& remembered) {
  if (!watched.who.ends_with(" leads") || watched.what != "rss_mib") return std::nullopt;
  Watched kept = watched;
  for (Reading& reading : kept.readings) reading.value = ValueAt(remembered, watched.begin + reading.at);
  return JudgedGrowth(kept);
}

FlatnessLimits LimitsOf(const Watched& watched, const std::optional<Growth>& remembered) {
  if (watched.what == "bytes") return watched.who == "store" ? kStore : kFolders;
  if (watched.what == "files") return kFiles;
  if (watched.what == "threads") return kThreads;
  FlatnessLimits limits = kMemory;
  if (remembered) {
    limits.per_minute += std::max(0.0, remembered->per_minute);
    limits.in_all += std::max(0.0, remembered->in_all);
  }
  return limits;
}

std::string Line(const Watched& watched, const Growth& growth) {
  const auto minutes = [](std::chrono::milliseconds time) {
    return std::chrono::duration<double, std::ratio<60>>(time).count();
  };
  char text[256];
  std::snprintf(text, sizeof(text),
                "%-22s %-8s from minute %5.1f for %5.1f: first %.6g at a third %.6g last %.6g highest %.6g; "
                "%+.3g a minute, floors %+.3g in all, %d up %d down",
                watched.who.c_str(), watched.what.c_str(), minutes(watched.begin), minutes(watched.readings.back().at),
                watched.readings.front().value, growth.first, growth.last, growth.highest, growth.per_minute,
                growth.in_all, growth.rises, growth.falls);
  return text;
}

std::string RememberedText(const Growth& judged, const Growth& kept) {
  char text[160];
  std::snprintf(text, sizeof(text), "; after its youth %+.3g a minute, %+.3g in all, of runs %+.3g and %+.3g",
                judged.per_minute, judged.in_all, kept.per_minute, kept.in_all);
  return text;
}

}  // namespace

ResourceWatch::ResourceWatch(const fs::path& file, Instant begin) : begin_(begin), file_(file) {}

void ResourceWatch::LookAt(Instant now, const std::string& who, pid_t pid) {
  const auto found = testing::ReadResources(pid);
  if (!found) return;
  if (std::exchange(processes_[who], pid) != pid) {
    std::erase_if(open_, [&](const auto& one) { return one.first.first == who; });
  }
  Take(now, who, "rss_mib", found->rss_mib);
  Take(now, who, "anon_mib", found->anonymous_mib);
  Take(now, who, "files", found->files);
  Take(now, who, "threads", found->threads);
}

void ResourceWatch::Take(Instant now, const std::string& who, const std::string& what, double value) {
  using std::chrono::duration_cast, std::chrono::milliseconds;
  const auto since = duration_cast<milliseconds>(now - begin_);
  const auto [open, fresh] = open_.emplace(std::pair(who, what), series_.size());
  if (fresh) series_.push_back({who, what, since, {}});
  Watched& watched = series_[open->second];
  watched.readings.push_back({since - watched.begin, value});
  file_ << static_cast<double>(since.count()) / 1000 << '\t' << who << '\t' << what << '\t' << value << std::endl;
}

std::vector<std::string> JudgeSeries(const std::vector<Watched>& series, const std::vector<Reading>& remembered,
                                     std::vector<Breach>& breaches) {
  std::vector<std::string> lines;
  for (const Watched& watched : series) {
    const std::string name = watched.who + " " + watched.what;
    for (const Reading& reading : watched.readings) {
      if (watched.what != "rss_mib" || reading.value <= kMostMib) continue;
      breaches.push_back({"P6", name + ": " + std::to_string(reading.value) + " MiB, allowed: 256"});
      break;
    }
    const auto growth = GrowthOf(watched.readings);
    if (!growth) continue;
    lines.push_back(Line(watched, *growth));
    if (watched.what == "anon_mib") continue;  // to look at, where rss_mib grows
    const auto judged = JudgedGrowth(watched);
    const auto kept = RememberedGrowth(watched, remembered);
    if (judged && kept) lines.back() += RememberedText(*judged, *kept);
    const std::string why = judged ? WhyNotFlat(*judged, LimitsOf(watched, kept)) : "";
    if (!why.empty()) breaches.push_back({"T6.3", name + " " + why});
  }
  return lines;
}

}  // namespace ferment::chaos
