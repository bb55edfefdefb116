// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/data_commands.h"
#include "common/dataset/data_scan.h"

namespace ferment::cli {
namespace {

constexpr std::size_t kShownDamage = 20;

std::string TextOf(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// Prints rows of equal length in aligned columns; numbers to the right.
void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.empty() ? 0 : rows[0].size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  for (const auto& row : rows) {
    std::cout << " ";
    for (std::size_t i = 0; i < row.size(); ++i)
      std::cout << " " << (i == 0 || i + 1 == row.size() ? std::left : std::right)
                << std::setw(i + 1 == row.size() ? 0 : static_cast<int>(widths[i])) << row[i];
    std::cout << "\n";
  }
}

void PrintCounts(const std::string& title, const Json& counts) {
  if (counts.empty()) return;
  std::cout << "  " << title << "\n";
  for (const auto& [name, count] : counts.items())
    std::cout << "    " << std::right << std::setw(9) << TextOf(count) << "  " << name << "\n";
}

void PrintOddities(const Json& oddities) {
  for (const Json& oddity : oddities) std::cout << "  note: " << TextOf(oddity) << "\n";
}

void PrintDamage(const Json& listed, const char* place) {
  for (std::size_t i = 0; i < std::min(listed.size(), kShownDamage); ++i)
    std::cout << "    " << place << " " << TextOf(listed[i][place]) << ": " << TextOf(listed[i]["message"]) << "\n";
  if (listed.size() > kShownDamage)
    std::cout << "    ... and " << listed.size() - kShownDamage << " more (see --json)\n";
}

/// Returns: the share that labeling.max_damage is held against, shard by shard.
std::string DamagedShare(const Json& found) {
  if (found["damaged"] == 0) return "";
  char share[96] = {};
  std::snprintf(share, sizeof(share), ", %.2f %% (a shard with more than labeling.max_damage fails)",
                100.0 * found["damaged"].get<double>() / found["records"].get<double>());
  return share;
}

void PrintRecords(const Json& found) {
  if (found.contains("index_lines")) {
    std::cout << "  property " << TextOf(found["property"]) << ", index lines " << found["index_lines"]
              << ", identity records " << found["identity_records"] << ", "
              << (found["has_header"] == true ? "InsightFace header" : "no header record (im2rec)") << "\n";
    PrintOddities(found["oddities"]);
  }
  std::cout << "  records " << found["records"] << ", sound " << found["sound"] << ", damaged " << found["damaged"]
            << DamagedShare(found) << " (decoded " << found["decoded"] << ")\n";
  PrintCounts("would be quarantined:", found["damage"]);
  PrintDamage(found["damaged_records"], "key");
}

void PrintFaces(const std::string& split, const Json& found) {
  std::cout << split << "\n";
  if (found.contains("error")) {
    std::cout << "  " << TextOf(found["error"]) << "\n";
    return;
  }
  std::cout << "  rows " << found["rows"] << ", faces " << found["faces"] << " (decoded " << found["decoded"] << ")\n";
  PrintOddities(found["oddities"]);
  PrintCounts("per class:", found["per_class"]);
  PrintCounts("would be skipped:", found["dropped"]);
  PrintCounts("cannot be decoded:", found["damage"]);
  PrintDamage(found["damaged_faces"], "path");
}

void PrintVideos(const Json& found) {
  const std::vector<std::string> columns = {"video",  "set",       "folder",          "jpgs",  "last_jpg",
                                            "labels", "minus_one", "labelled_no_jpg", "usable"};
  std::vector<std::vector<std::string>> rows = {columns};
  rows[0].push_back("oddities");
  for (const Json& video : found["videos"]) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const std::string& column : columns) row.push_back(TextOf(video[column]));
    std::string oddities;
    for (const Json& oddity : video["oddities"]) oddities += (oddities.empty() ? "" : "; ") + TextOf(oddity);
    row.push_back(oddities);
  }
  PrintTable(rows);
  for (const auto& [set, sum] : found["sets"].items()) {
    std::cout << set << ": videos " << sum["videos"] << ", jpgs " << sum["jpgs"] << ", label lines " << sum["labels"]
              << ", -1 " << sum["minus_one"] << ", labelled without jpg " << sum["labelled_no_jpg"] << ", usable "
              << sum["usable"] << "\n";
    if (set != "test") PrintCounts("usable frames per class:", sum["per_class"]);
  }
}

void PrintFound(const Json& found) {
  std::cout << TextOf(found["path"]) << ": " << TextOf(found["format"]) << "\n";
  if (found.contains("parts")) {
    for (const auto& [name, part] : found["parts"].items()) PrintFound(part);
    return;
  }
  if (found.contains("records")) return PrintRecords(found);
  if (found.contains("videos")) return PrintVideos(found);
  PrintFaces("train", found["train"]);
  PrintFaces("validation", found["validation"]);
}

void Scan(const std::string& path, std::string format, bool json) {
  if (format.empty()) {
    const auto guess = dataset::GuessFormat(path);
    if (!guess) LeaveIfFailed(guess.error());
    format = *guess;
  }
  const auto found = dataset::ScanData(path, format);
  if (!found) LeaveIfFailed(found.error());
  if (json) {
    std::cout << found->dump(2) << "\n";
    return;
  }
  PrintFound(*found);
}

}  // namespace

CLI::App& DataGroup(CLI::App& app) {
  const auto groups = app.get_subcommands([](CLI::App* command) { return command->get_name() == "data"; });
  if (!groups.empty()) return *groups[0];
  return *app.add_subcommand("data", "Look into data folders, render sets")->require_subcommand(1);
}

void AddDataScanCommand(CLI::App& app) {
  struct Flags {
    std::string path;
    std::string format;
    bool json = false;
  };
  // Shared with the callback, which outlives this function.
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      DataGroup(app).add_subcommand("scan", "What a data folder holds, and what a run would skip and why");
  command
      ->add_option("path", flags->path,
                   "The folder, as data.root, data.fer.path, data.fr.path or data.videos.path name it")
      ->required();
  command->add_option("--format", flags->format, "Guessed from the folder when not given")
      ->check(CLI::IsMember({"insightface", "affwild2", "folder", "affectnet2017", "affectnet2021", "expw", "rafdb",
                             "ferplus", "root", "fr-folder", "video-folder"}));
  command->add_flag("--json", flags->json, "One JSON object instead of a page");
  command->callback([flags] { Scan(flags->path, flags->format, flags->json); });
}

}  // namespace ferment::cli
