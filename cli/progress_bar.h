// SPDX-License-Identifier: Apache-2.0
//
// Shows a run as it goes: a line a phase with bar, rate, time left and figures on a terminal, plain lines elsewhere.
#pragma once

#include <map>
#include <ostream>
#include <string>

#include "common/base/clock.h"
#include "ferment/v1/run_service.pb.h"

namespace ferment::cli {

enum class ProgressMode {
  /// Redraws the running phase in place.
  kTerminal,
  /// A line when a phase starts and ends, and now and then in between.
  kPlain,
  /// Each state as one JSON object a line, field names as in run_service.proto.
  kJson,
  /// Nothing.
  kQuiet,
};

struct ProgressStyle {
  ProgressMode mode = ProgressMode::kPlain;
  bool colour = false;
  /// Columns of the terminal.
  int columns = 80;
};

/// Returns: what suits this standard output: `json` if asked for, else by isatty; NO_COLOR and TERM=dumb are heard.
ProgressStyle StyleOfTerminal(bool json);

/// Returns: "0:07", "12:30", "2:05:00".
std::string FormatDuration(double seconds);

/// Returns: the state as a one-line JSON object, field names as in the proto.
std::string ToJsonLine(const google::protobuf::Message& message);

/// Thread: one. Keeps when each phase was first seen, to tell its time left.
class ProgressBar {
 public:
  ProgressBar(std::ostream& out, const ProgressStyle& style, const Clock& clock)
      : out_(out), style_(style), clock_(clock) {}

  void Show(const v1::RunStatus& run);
  /// A line of its own, such as "labeler 1 died; starting it again"; as {"event": "note"} in JSON.
  void Note(const std::string& text);
  /// Ends the line that is being redrawn.
  void Finish();

 private:
  struct Seen {
    MonotonicTime first;
    std::uint64_t done_then = 0;
    MonotonicTime last_line;
    bool ended = false;
  };

  void ShowRunning(const v1::JobStatus& job, Seen& seen);
  void ShowEnded(const v1::JobStatus& job);
  std::string TimeLeft(const v1::JobStatus& job, const Seen& seen) const;
  std::string Painted(const std::string& text, const char* colour) const;
  void ClearLine();

  std::ostream& out_;
  const ProgressStyle style_;
  const Clock& clock_;
  std::map<std::string, Seen> seen_;
  bool line_open_ = false;
};

}  // namespace ferment::cli
