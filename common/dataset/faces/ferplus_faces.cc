// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/ferplus_faces.h"

#include <algorithm>
#include <array>
#include <string>

#include "common/dataset/text_lines.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

constexpr std::size_t kVotes = 10;

/// Returns: the column with most votes; nothing for a tie.
std::optional<int> Majority(const std::array<int, kVotes>& votes) {
  const auto* most = std::max_element(votes.begin(), votes.end());
  if (std::count(votes.begin(), votes.end(), *most) > 1) return std::nullopt;
  return static_cast<int>(most - votes.begin());
}

FaceRow RowOf(const std::filesystem::path& root, const std::string& folder, const std::string& name) {
  FaceRow row = {folder + "/" + name, {}, std::nullopt};
  const std::string jpeg = name.substr(0, name.rfind('.')) + ".jpg";
  for (const std::filesystem::path& base : {root / folder, root / "data" / folder, root / "images", root})
    for (const std::string& file : {name, jpeg}) row.candidates.push_back(base / file);
  return row;
}

}  // namespace

std::filesystem::path FerPlusList(const v1::FerSpec& source, FaceSplit split) {
  const std::string& named = split == FaceSplit::kTrain ? source.train() : source.validation();
  return std::filesystem::path(source.path()) / (named.empty() ? "fer2013new.csv" : named);
}

Status CollectFerPlus(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces) {
  const std::filesystem::path root = source.path();
  const std::filesystem::path list = FerPlusList(source, split);
  const std::string usage = split == FaceSplit::kTrain ? "Training" : "PublicTest";
  const std::string folder = split == FaceSplit::kTrain ? "FER2013Train" : "FER2013Valid";
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(list));
  std::size_t number = 0;
  for (const std::string_view line : SplitLines(text)) {
    if (++number == 1 && line.starts_with("Usage")) continue;
    const std::vector<std::string> fields = SplitCsv(line);
    if (fields[0] != usage) continue;
    std::array<int, kVotes> votes = {};
    bool whole = fields.size() == 2 + kVotes;
    for (std::size_t i = 0; whole && i < kVotes; ++i) {
      const auto vote = ParseInteger(fields[2 + i]);
      whole = vote.has_value();
      votes[i] = vote.value_or(0);
    }
    if (!whole)
      return DataLossError("row is not Usage, name and ten votes: file=" + list.string() +
                           " line=" + std::to_string(number));
    const auto column = Majority(votes);
    if (fields[1].empty()) {
      faces.Drop("image-name-missing");
    } else if (!column) {
      faces.Drop("votes-tied");
    } else if (const auto expression = ExpressionOfFerPlus(*column)) {
      faces.AddExpression(RowOf(root, folder, fields[1]), *expression);
    } else {
      faces.Drop("no-expression");
    }
  }
  return {};
}

}  // namespace ferment::dataset
