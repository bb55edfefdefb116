// SPDX-License-Identifier: Apache-2.0
//
// Cuts the text files of data sets into lines and fields, whatever system wrote them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferment::dataset {

/// Returns: lines without LF, CRLF or CR, and without a byte order mark; no empty line for a final line end. Views into
/// the text.
std::vector<std::string_view> SplitLines(std::string_view text);

/// Returns: fields between separators, at least one. Views into the line.
std::vector<std::string_view> SplitFields(std::string_view line, char separator);

/// Returns: the fields of a CSV row; a field in double quotes may hold commas and doubled quotes.
std::vector<std::string> SplitCsv(std::string_view line);

/// Returns: the place of the first of `names` that is a field, spaces at its ends apart.
std::optional<std::size_t> FindColumn(const std::vector<std::string>& fields, std::span<const std::string_view> names);

/// Returns: the text without spaces and tabs at both ends.
std::string_view Trimmed(std::string_view text);

/// Returns: a whole number or a fraction that fills the text, spaces at its ends apart; nothing for "NULL", "nan" and
/// the like.
std::optional<double> ParseNumber(std::string_view text);
std::optional<int> ParseInteger(std::string_view text);

}  // namespace ferment::dataset
