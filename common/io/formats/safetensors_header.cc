// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <set>

#include "common/base/json.h"

namespace ferment::io {
namespace {

Status Malformed(std::string_view what) { return DataLossError("malformed safetensors header: " + std::string(what)); }

/// Builds the header while the JSON is parsed, so that names given twice are seen and no deep value is ever built.
class HeaderBuilder final : public Json::json_sax_t {
 public:
  SafetensorsHeader header;
  std::string fault;

  bool null() override { return Refuse("null where a value is wanted"); }
  bool boolean(bool) override { return Refuse("a truth value where none is wanted"); }
  bool number_integer(Json::number_integer_t) override { return Refuse("a negative number"); }
  bool number_float(Json::number_float_t, const std::string&) override { return Refuse("a fraction"); }
  bool binary(Json::binary_t&) override { return Refuse("binary data"); }

  bool number_unsigned(Json::number_unsigned_t value) override {
    if (!in_array_) return Refuse("a number where none is wanted");
    numbers_.push_back(value);
    return true;
  }

  bool string(std::string& value) override {
    if (depth_ == 2 && in_metadata_ && !in_array_) {
      if (!header.metadata.emplace(key_, value).second) return Refuse("metadata key twice: " + key_);
      return true;
    }
    if (depth_ == 2 && !in_array_ && key_ == "dtype") {
      entry_.dtype = value;
      has_dtype_ = true;
      return true;
    }
    return Refuse("text where none is wanted");
  }

  bool start_object(std::size_t) override {
    if (in_array_ || ++depth_ > 2) return Refuse("an object where none is wanted");
    if (depth_ == 2) {
      in_metadata_ = entry_.name == "__metadata__";
      has_dtype_ = has_shape_ = has_offsets_ = false;
      fields_.clear();
    }
    return true;
  }

  bool key(std::string& value) override {
    if (depth_ == 1) {
      if (!names_.insert(value).second) return Refuse("name twice: " + value);
      entry_ = {value, {}, {}, 0, 0};
      return true;
    }
    if (!in_metadata_ && !fields_.insert(value).second) return Refuse("field twice: " + value);
    key_ = value;
    return true;
  }

  bool end_object() override {
    if (depth_-- == 2 && !in_metadata_) {
      if (!has_dtype_ || !has_shape_ || !has_offsets_) return Refuse("dtype, shape or data_offsets missing");
      header.entries.push_back(entry_);
    }
    return true;
  }

  bool start_array(std::size_t) override {
    const bool wanted = depth_ == 2 && !in_metadata_ && !in_array_ && (key_ == "shape" || key_ == "data_offsets");
    if (!wanted) return Refuse("a list where none is wanted");
    in_array_ = true;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    if (key_ == "shape") {
      has_shape_ = true;
      for (const std::uint64_t extent : numbers_) {
        if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
          return Refuse("shape too large");
        entry_.shape.push_back(static_cast<std::int64_t>(extent));
      }
      return true;
    }
    if (numbers_.size() != 2) return Refuse("data_offsets is not [begin, end]");
    has_offsets_ = true;
    entry_.begin = numbers_[0];
    entry_.end = numbers_[1];
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    if (fault.empty()) fault = "not valid JSON: byte=" + std::to_string(position);
    return false;
  }

 private:
  bool Refuse(std::string why) {
    fault = std::move(why) + ": entry=" + entry_.name;
    return false;
  }

  int depth_ = 0;
  bool in_array_ = false;
  bool in_metadata_ = false;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  std::string key_;
  std::set<std::string> names_;
  std::set<std::string> fields_;
  std::vector<std::uint64_t> numbers_;
  SafetensorsEntry entry_;
};

Status CheckEntry(const SafetensorsEntry& entry, std::uint64_t data_bytes) {
  std::uint64_t wanted = SafetensorsElementBytes(entry.dtype);
  if (wanted == 0) return Malformed("unknown dtype: entry=" + entry.name + " dtype=" + entry.dtype);
  for (const std::int64_t extent : entry.shape)
    if (__builtin_mul_overflow(wanted, static_cast<std::uint64_t>(extent), &wanted))
      return Malformed("shape overflows: entry=" + entry.name);
  if (entry.begin > entry.end || entry.end > data_bytes)
    return Malformed("offsets leave the file: entry=" + entry.name + " begin=" + std::to_string(entry.begin) +
                     " end=" + std::to_string(entry.end) + " bytes=" + std::to_string(data_bytes));
  if (entry.end - entry.begin != wanted)
    return Malformed("shape and offsets differ: entry=" + entry.name + " wanted=" + std::to_string(wanted) +
                     " bytes=" + std::to_string(entry.end - entry.begin));
  return {};
}

}  // namespace

std::uint64_t SafetensorsElementBytes(std::string_view dtype) {
  using Size = std::pair<std::string_view, std::uint64_t>;
  static constexpr std::array<Size, 15> kSizes = {{{"F64", 8},
                                                   {"F32", 4},
                                                   {"F16", 2},
                                                   {"BF16", 2},
                                                   {"I64", 8},
                                                   {"I32", 4},
                                                   {"I16", 2},
                                                   {"I8", 1},
                                                   {"U64", 8},
                                                   {"U32", 4},
                                                   {"U16", 2},
                                                   {"U8", 1},
                                                   {"BOOL", 1},
                                                   {"F8_E4M3", 1},
                                                   {"F8_E5M2", 1}}};
  const auto* found = std::find_if(kSizes.begin(), kSizes.end(), [&](const Size& size) { return size.first == dtype; });
  return found == kSizes.end() ? 0 : found->second;
}

Result<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json, std::uint64_t data_bytes) {
  if (!json.starts_with('{')) return Fail(Malformed("does not start with {"));
  HeaderBuilder builder;
  if (!Json::sax_parse(json.begin(), json.end(), &builder)) return Fail(Malformed(builder.fault));
  std::vector<const SafetensorsEntry*> by_offset;
  for (const SafetensorsEntry& entry : builder.header.entries) {
    FERMENT_RETURN_IF_ERROR(CheckEntry(entry, data_bytes));
    by_offset.push_back(&entry);
  }
  std::sort(by_offset.begin(), by_offset.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t covered = 0;
  for (const SafetensorsEntry* entry : by_offset) {
    if (entry->begin != covered)
      return Fail(Malformed("tensors overlap or leave a gap: entry=" + entry->name +
                            " begin=" + std::to_string(entry->begin) + " expected=" + std::to_string(covered)));
    covered = entry->end;
  }
  if (covered != data_bytes)
    return Fail(Malformed("bytes belong to no tensor: covered=" + std::to_string(covered) +
                          " bytes=" + std::to_string(data_bytes)));
  return std::move(builder.header);
}

}  // namespace ferment::io
