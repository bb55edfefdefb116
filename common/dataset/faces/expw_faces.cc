// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/expw_faces.h"

#include <set>
#include <string>
#include <system_error>

#include "common/base/random.h"
#include "common/dataset/text_lines.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

constexpr std::size_t kColumns = 8;
constexpr std::uint64_t kValidationShare = 10;

/// Columns after the name: face id, top, left, right, bottom, confidence, expression.
Status CollectRow(std::string_view line, const std::filesystem::path& data, const std::string& place,
                  FaceCollector& faces) {
  const std::vector<std::string_view> fields = SplitFields(line, ' ');
  if (fields.size() != kColumns)
    return DataLossError("row has " + std::to_string(fields.size()) + " columns: " + place + " expected=8");
  const auto top = ParseInteger(fields[2]);
  const auto left = ParseInteger(fields[3]);
  const auto right = ParseInteger(fields[4]);
  const auto bottom = ParseInteger(fields[5]);
  const auto label = ParseInteger(fields[7]);
  if (!label) return DataLossError("expression is no number: " + place);
  if (!top || !left || !right || !bottom || *right <= *left || *bottom <= *top) {
    faces.Drop("face-box-missing");
    return {};
  }
  const auto expression = ExpressionOfExpW(*label);
  if (!expression) {
    faces.Drop("class-unknown: " + std::to_string(*label));
    return {};
  }
  const std::string name(fields[0]);
  faces.AddExpression(
      {name, {data / "image" / "origin" / name, data / "image" / name}, Box{*left, *top, *right, *bottom}},
      *expression);
  return {};
}

std::filesystem::path DataFolder(const v1::FerSpec& source) {
  std::error_code error;
  const std::filesystem::path root = source.path();
  return std::filesystem::is_directory(root / "data", error) ? root / "data" : root;
}

}  // namespace

std::filesystem::path ExpWList(const v1::FerSpec& source, FaceSplit split) {
  const std::string& named = split == FaceSplit::kTrain ? source.train() : source.validation();
  return named.empty() ? DataFolder(source) / "label" / "label.lst" : std::filesystem::path(source.path()) / named;
}

Status CollectExpW(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces) {
  const std::filesystem::path data = DataFolder(source);
  const std::filesystem::path list = ExpWList(source, split);
  const bool by_hash = source.validation().empty();
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(list));
  std::set<std::string_view> seen;
  std::size_t number = 0;
  for (const std::string_view raw : SplitLines(text)) {
    ++number;
    const std::string_view line = Trimmed(raw);
    if (line.empty()) continue;
    const bool validation = StreamOf(line.substr(0, line.find(' '))) % kValidationShare == 0;
    if (by_hash && validation != (split == FaceSplit::kValidation)) continue;
    if (!seen.insert(line).second) {
      faces.Drop("row-repeated");
      continue;
    }
    FERMENT_RETURN_IF_ERROR(CollectRow(line, data, "file=" + list.string() + " line=" + std::to_string(number), faces));
  }
  if (by_hash) faces.Note("ExpW has no split: every tenth picture, by a hash of its name, is validation");
  return {};
}

}  // namespace ferment::dataset
