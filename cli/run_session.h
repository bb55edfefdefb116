// SPDX-License-Identifier: Apache-2.0
//
// One `ferment run`: from a loaded spec to the report, with every process of it in this session's charge.
#pragma once

#include <signal.h>

#include <atomic>
#include <filesystem>
#include <stop_token>
#include <string>

#include "cli/coordinator_client.h"
#include "cli/fleet.h"
#include "cli/progress_bar.h"
#include "cli/run_folder.h"
#include "common/base/result.h"
#include "common/config/run_spec.h"

namespace ferment::cli {

struct RunOptions {
  RunSpec spec;
  /// Absolute.
  std::filesystem::path run_dir;
  /// Where the other programs lie.
  std::filesystem::path programs;
  bool fresh = false;
  bool json = false;
  /// Nothing on standard output.
  bool quiet = false;
};

/// Interruptions as they come in; set by the signal handler's thread.
struct Interruptions {
  /// So far; the second one hurries.
  std::atomic<int> count = 0;
  /// The first one's number.
  std::atomic<int> first = 0;
  /// Requested by the first one, and by the second.
  std::stop_source leave, hurry;

  /// A terminal that is closed hangs up more than once, by the kernel and by the shell: that hurries nothing.
  void Take(int number) {
    if (count > 0 && number == SIGHUP) return;
    if (count == 0) first = number;
    (++count == 1 ? leave : hurry).request_stop();
  }
};

/// Runs it. Returns: the process exit code (docs/operations.md); what went wrong has been printed.
int RunToTheEnd(const RunOptions& options, Interruptions& interruptions);

}  // namespace ferment::cli
