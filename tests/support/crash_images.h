// SPDX-License-Identifier: Apache-2.0
//
// What a power cut may leave of a folder: the calls that changed it are recorded, and made again up to any one of them,
// without some of what no sync had asked for.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "tests/support/disk_tape.h"

namespace ferment::testing {

/// Returns: where to make what a power cut leaves: in memory where there is such a folder, since thousands are looked
/// at.
std::filesystem::path ImageFolder();

/// Makes in `folder`, for a power cut before each of the changes and after the last, eight things that it may leave,
/// and calls `look` with the number of marks before the cut. What a sync asked for is there. Of the rest nothing, all,
/// all names and no bytes, all bytes and no names, or what is drawn: of the names of each folder the first so many, of
/// each file's bytes any pages or sectors, zeros in the place of others. Returns: how many there were, which it prints.
int ForEachCrash(const std::vector<DiskChange>& changes, const std::filesystem::path& folder,
                 const std::function<void(int acknowledged)>& look);

/// A process that is killed and leaves names that nobody synced, another that goes on from there, and a power cut.
struct KillThenCrash {
  /// Emptied before each kill. What follows changes nothing else.
  std::filesystem::path worked_in;
  std::function<void()> dies;
  std::function<void()> goes_on;
};

/// For a kill at the 1st, 2nd, 3rd ... call of `dies`, until it has no more: the eight things in `folder` that a power
/// cut may leave once `goes_on` has ended, and `look`. Returns: how many kills there were.
int ForEachCrashAfterAKill(const KillThenCrash& lives, const std::filesystem::path& folder,
                           const std::function<void()>& look);

}  // namespace ferment::testing
