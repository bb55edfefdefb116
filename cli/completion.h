// SPDX-License-Identifier: Apache-2.0
//
// What may come next on a command line of `ferment`: what the shells' scripts ask it for, in place of a list of theirs.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace ferment::cli {

/// `ferment __complete WORD...` prints the candidates for the last word; it is in no help.
inline constexpr char kCompletionVerb[] = "__complete";

/// `words`: what stands behind `ferment`; the last is the one to complete, and may be empty. Returns: commands, flags,
/// a flag's choices, or the spec's keys as `KEY=` after --set; nothing where a file name or free text is wanted.
std::vector<std::string> Completions(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace ferment::cli
