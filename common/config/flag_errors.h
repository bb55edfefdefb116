// SPDX-License-Identifier: Apache-2.0
//
// What is said of a command line that cannot be taken: CLI11's words, and the flags that may have been meant.
#pragma once

#include <CLI/CLI.hpp>
#include <iosfwd>

namespace ferment {

/// Prints what --help and the like ask for to `out`, what is wrong to `err`; nothing is done in a mistyped flag's
/// place. Requires: `end` came from app.parse. Returns: the process exit code: 0 where help or version was asked for,
/// else 2.
int SayWhyNotParsed(const CLI::App& app, const CLI::ParseError& end, std::ostream& out, std::ostream& err);

}  // namespace ferment
