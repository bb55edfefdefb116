// SPDX-License-Identifier: Apache-2.0
#include "cli/label_comparison.h"

#include <map>
#include <string>
#include <unordered_map>
#include <utility>

namespace ferment::cli {
namespace {

using dataset::LabelSet;
using dataset::LabelStatus;

/// A record's label, as far as two folders are compared.
struct Row {
  std::uint8_t label;
  LabelStatus status;
};

Json JsonOf(const dataset::LabelOrigin& origin) {
  return {{"dataset", origin.dataset}, {"teacher", origin.teacher}, {"label_config", origin.label_config}};
}

Json NotesOn(const dataset::LabelOrigin& first, const dataset::LabelOrigin& second) {
  Json notes = Json::array();
  if (first.dataset != second.dataset) {
    notes.push_back("the data sets have other names, so that a key may be another face in each: first=" +
                    first.dataset + " second=" + second.dataset);
  }
  return notes;
}

}  // namespace

Result<Json> CompareLabelSets(const std::vector<LabelSet>& first, const std::vector<LabelSet>& second) {
  const std::vector<std::string>& classes = first.front().classes;
  if (classes != second.front().classes) {
    return Fail(InvalidArgumentError("the two have other classes, or the same ones in another order: first=" +
                                     Json(classes).dump() + " second=" + Json(second.front().classes).dump())
                    .WithExitCode(exit_code::kUsage));
  }
  std::unordered_map<std::uint64_t, Row> rows;
  for (const LabelSet& set : first) {
    for (std::size_t i = 0; i < set.size(); ++i) rows[set.key[i]] = {set.label[i], set.status[i]};
  }
  std::uint64_t only_second = 0, both = 0, same = 0, gained = 0, lost = 0;
  std::map<std::pair<std::uint8_t, std::uint8_t>, std::uint64_t> changed;
  for (const LabelSet& set : second) {
    for (std::size_t i = 0; i < set.size(); ++i) {
      const auto before = rows.find(set.key[i]);
      if (before == rows.end()) {
        ++only_second;
        continue;
      }
      ++both;
      const Row& old = before->second;
      if (old.label == set.label[i] && old.status == set.status[i]) ++same;
      if (old.label != set.label[i]) ++changed[{old.label, set.label[i]}];
      if (old.status != LabelStatus::kLabelled && set.status[i] == LabelStatus::kLabelled) ++gained;
      if (old.status == LabelStatus::kLabelled && set.status[i] != LabelStatus::kLabelled) ++lost;
    }
  }
  Json moves = Json::array();
  const auto name = [&](std::uint8_t label) { return label == dataset::kNoLabel ? "quarantined" : classes[label]; };
  for (const auto& [move, count] : changed)
    moves.push_back({{"from", name(move.first)}, {"to", name(move.second)}, {"records", count}});
  return Json{{"records_in_both", both},
              {"only_in_first", rows.size() - both},
              {"only_in_second", only_second},
              {"same", same},
              {"labelled_in_second_only", gained},
              {"labelled_in_first_only", lost},
              {"changed", moves},
              {"first", JsonOf(first.front().origin)},
              {"second", JsonOf(second.front().origin)},
              {"notes", NotesOn(first.front().origin, second.front().origin)}};
}

}  // namespace ferment::cli
