// SPDX-License-Identifier: Apache-2.0
//
// The rules of the house that a machine can check, as functions from a file's text to what is wrong with it.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ferment::layers {

struct SourceFile {
  /// From the repository root, with forward slashes.
  std::string path;
  std::string text;
};

/// Returns: what the file includes that its floor must not know, one line a finding.
std::vector<std::string> FloorFindings(const SourceFile& file);

/// Returns: libraries from outside that the file includes though it is not their door, and those that have no door.
std::vector<std::string> DoorFindings(const SourceFile& file);

/// Returns: a wrong first line, a header without its sentence of purpose or #pragma once, a source that opens with a
/// comment, a forbidden suffix or name, and notes to do something later that name no issue.
std::vector<std::string> FormFindings(const SourceFile& file);

/// Returns: file names that two folders share.
std::vector<std::string> RepeatedNames(const std::vector<std::string>& paths);

/// Returns: the tests that a source or a CMakeLists.txt makes, as `Suite.Name`.
std::vector<std::string> TestsOf(const SourceFile& file);

/// Returns: what a page calls a test, as `Suite.Name`, `Suite.Begin...` or `Suite.*` between backticks, and `tests` has
/// not.
std::vector<std::string> NamedTestFindings(const SourceFile& page, const std::set<std::string>& tests);

}  // namespace ferment::layers
