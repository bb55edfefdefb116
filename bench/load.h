// SPDX-License-Identifier: Apache-2.0
//
// Clients that call as fast as they are answered, or at a fixed rate whatever the answers take; and what they saw.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iostream>
#include <thread>
#include <vector>

#include "common/base/json.h"

namespace ferment::bench {

struct LoadOptions {
  int clients = 16;
  double seconds = 5;
  /// Calls a second of all clients together, spread evenly. 0: each client calls again once it has its answer.
  double rate = 0;
};

struct Load {
  std::uint64_t calls = 0;
  /// Units of work, such as leases: a call may do many.
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  double seconds = 0;
  /// Milliseconds, ascending. At a fixed rate they count from when the call was due, so that waiting behind a slow
  /// answer shows.
  std::vector<double> latencies_ms;

  double Quantile(double share) const {
    if (latencies_ms.empty()) return 0;
    return latencies_ms[static_cast<std::size_t>(share * static_cast<double>(latencies_ms.size() - 1))];
  }
};

/// One call of one client. Returns: units done; negative: it failed.
using LoadCall = std::function<int()>;

/// Makes one LoadCall a client, then lets all of them call until the time is over.
inline Load RunLoad(const LoadOptions& options, const std::function<LoadCall(int client)>& make) {
  using Clock = std::chrono::steady_clock;
  std::vector<LoadCall> calls;
  for (int client = 0; client < options.clients; ++client) calls.push_back(make(client));
  std::vector<Load> parts(calls.size());
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds));
  const auto client = [&](std::size_t number) {
    Load& mine = parts[number];
    for (std::uint64_t turn = 0;; ++turn) {
      auto due = Clock::now();
      if (options.rate > 0) {
        const double place = static_cast<double>(turn * calls.size() + number) / options.rate;
        due = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(place));
        std::this_thread::sleep_until(due);
      }
      if (due >= end) return;
      const int done = calls[number]();
      ++mine.calls;
      if (done < 0) ++mine.failed;
      if (done > 0) mine.done += static_cast<std::uint64_t>(done);
      mine.latencies_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - due).count());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < calls.size(); ++i) threads.emplace_back(client, i);
  }
  Load all;
  all.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const Load& part : parts) {
    all.calls += part.calls;
    all.done += part.done;
    all.failed += part.failed;
    all.latencies_ms.insert(all.latencies_ms.end(), part.latencies_ms.begin(), part.latencies_ms.end());
  }
  std::sort(all.latencies_ms.begin(), all.latencies_ms.end());
  return all;
}

/// Prints one line of JSON.
inline void Say(const Load& load) {
  std::cout << Json({{"calls", load.calls},
                     {"done", load.done},
                     {"failed", load.failed},
                     {"seconds", load.seconds},
                     {"done_per_second", static_cast<double>(load.done) / load.seconds},
                     {"p50_ms", load.Quantile(0.5)},
                     {"p99_ms", load.Quantile(0.99)},
                     {"p999_ms", load.Quantile(0.999)}})
                   .dump()
            << std::endl;
}

}  // namespace ferment::bench
