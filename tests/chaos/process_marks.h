// SPDX-License-Identifier: Apache-2.0
//
// Finds every process of a test by a mark in its environment, whoever started it, and ends those that are left.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ferment::chaos {

/// Returns: a mark that no other process has. A part of it is MARK/NAME; whoever asks for MARK finds its parts too.
std::string NewMark();

/// Marks all that this process starts from now on.
void MarkDescendants(const std::string& mark);

/// Returns: the live processes that carry the mark but this one; of one program (the name of its file) where one is
/// named. Zombies are none.
std::vector<pid_t> MarkedProcesses(const std::string& mark, const std::string& program = "");

/// Kills them until none is left.
void EndMarked(const std::string& mark);

/// Starts a process that waits for this one to end, however it ends, and then does EndMarked. Call before any thread is
/// started.
void StartSweeper(const std::string& mark);

}  // namespace ferment::chaos
