// SPDX-License-Identifier: Apache-2.0
//
// What is in a data folder: counts, oddities, and what a run would skip and why (`ferment data scan`).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/json.h"
#include "common/base/result.h"

namespace ferment::dataset {

/// Past this many pictures a scan decodes that many of them, evenly spread, and says so.
inline constexpr std::uint64_t kMaxDecodedInScan = 50000;

/// Returns: the format that the folder's names speak for: insightface, affwild2, affectnet2017, affectnet2021, expw,
/// rafdb, ferplus, folder (lists of labelled faces), video-folder (lists of labelled videos: data.videos.format
/// folder), root (a data.root: folders of these side by side) or fr-folder (pictures alone). Errors: NotFound where
/// there is no such folder or nothing in it is known.
Result<std::string> GuessFormat(const std::filesystem::path& path);

/// Returns: the data.videos.format that a scan's format stands for; nothing where it is not one of videos.
std::optional<std::string_view> VideoFormatOf(std::string_view format);

/// Returns: the findings, with "format", "path" and
///   insightface, fr-folder: "records", "sound", "damaged", "decoded", "damage" {reason: count}, "damaged_records"
///   [{key, reason, message}], "oddities", and of a pack its index's figures; affwild2, video-folder: "videos", one row
///   each with the columns video, set, folder, jpgs, last_jpg, labels, minus_one, labelled_no_jpg, usable, per_class,
///   oddities, and "sets" with their sums; root: "parts" {folder: its findings}; others: "train" and "validation", each
///   with "rows", "faces", "per_class", "dropped" {reason: count}, "damage", "decoded", "oddities", or "error".
/// Errors: InvalidArgument for an unknown format, and those of the sources.
Result<Json> ScanData(const std::filesystem::path& path, std::string_view format);

}  // namespace ferment::dataset
