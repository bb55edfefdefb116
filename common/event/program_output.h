// SPDX-License-Identifier: Apache-2.0
//
// Runs a program that answers in a few lines, and ends it when it takes too long.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace ferment::event {

struct ProgramOutput {
  int exit_code = 0;
  std::string text = {};
  /// Standard error, where it was asked for apart.
  std::string errors = {};
  /// Between which it ran, by this machine's clock.
  WallTime begin = {};
  WallTime end = {};
};

enum class StandardError { kInText, kApart };

/// Returns: what it printed, whatever its exit code. It has no input and is killed with its group at the end of
/// `patience`. Errors: those of ChildProcess::Start; DeadlineExceeded; those of making a temporary folder.
Result<ProgramOutput> OutputOf(const std::vector<std::string>& argv, std::chrono::milliseconds patience,
                               StandardError errors = StandardError::kInText);

/// Returns: the first or last line that says anything; empty where none does.
std::string FirstLine(const std::string& text);
std::string LastLine(const std::string& text);

}  // namespace ferment::event
