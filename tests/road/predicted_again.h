// SPDX-License-Identifier: Apache-2.0
//
// Compares what `ferment predict --csv` prints with the tables of a run's evaluation.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ferment::road {

/// Rows by column name.
using Table = std::vector<std::map<std::string, std::string>>;

Table ParseTable(const std::string& csv);
/// Fails the test where the file is not there.
Table ReadTable(const std::filesystem::path& file);
std::vector<std::string> Column(const Table& table, const std::string& name);
/// Returns: the rows of video_validation.csv a video, in their order.
std::map<std::string, Table> ByVideo(const Table& rows);

/// The same pictures and predictions, probabilities within 1e-3. `evaluated`: rows of static_validation.csv.
void ExpectSameFaces(const Table& predicted, const Table& evaluated);
/// The same frames and predictions of the full system. `evaluated`: rows of video_validation.csv.
void ExpectSameFrames(const Table& predicted, const Table& evaluated);

}  // namespace ferment::road
