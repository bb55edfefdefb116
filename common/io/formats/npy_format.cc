// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/npy_format.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>

namespace ferment::io {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are copied as they are");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxDimensions = 32;

struct ElementType {
  char order;
  char kind;
  std::uint64_t count;  // as written after the kind: bytes, or characters of 'U'

  std::uint64_t bytes() const { return kind == 'U' ? 4 * count : count; }
  std::uint64_t swapped_unit() const { return kind == 'U' ? 4 : count; }
};

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

Status Damaged(std::string_view what) { return DataLossError("damaged .npy: " + std::string(what)); }

/// Reads the Python literal of a header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderScanner {
 public:
  explicit HeaderScanner(std::string_view text) : text_(text) {}

  std::optional<Header> Scan() {
    Header header;
    int seen = 0;
    if (!Take("{")) return std::nullopt;
    while (!Take("}")) {
      const auto key = TakeString();
      if (!key || !Take(":")) return std::nullopt;
      if (!TakeValue(*key, header)) return std::nullopt;
      ++seen;
      if (!Take(",") && !Peek("}")) return std::nullopt;
    }
    SkipSpace();
    if (seen != 3 || !text_.empty() || header.descr.empty()) return std::nullopt;
    return header;
  }

 private:
  bool TakeValue(std::string_view key, Header& header) {
    if (key == "descr") {
      if (Peek("[")) {
        header.descr = "[...]";
        return false;
      }
      const auto descr = TakeString();
      if (descr) header.descr = *descr;
      return descr.has_value();
    }
    if (key == "fortran_order") {
      header.fortran_order = Take("True");
      return header.fortran_order || Take("False");
    }
    return key == "shape" && TakeShape(header.shape);
  }

  bool TakeShape(std::vector<std::int64_t>& shape) {
    if (!Take("(")) return false;
    while (!Take(")")) {
      SkipSpace();
      std::int64_t extent = -1;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), extent);
      if (error != std::errc() || extent < 0 || shape.size() == kMaxDimensions) return false;
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      shape.push_back(extent);
      if (!Take(",") && !Peek(")")) return false;
    }
    return true;
  }

  std::optional<std::string> TakeString() {
    SkipSpace();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) return std::nullopt;
    const std::size_t end = text_.find(text_[0], 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string value(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return value;
  }

  bool Peek(std::string_view token) {
    SkipSpace();
    return text_.starts_with(token);
  }
  bool Take(std::string_view token) {
    if (!Peek(token)) return false;
    text_.remove_prefix(token.size());
    return true;
  }
  void SkipSpace() { text_.remove_prefix(std::min(text_.find_first_not_of(" \t\n"), text_.size())); }

  std::string_view text_;
};

Result<ElementType> ParseElementType(std::string_view descr) {
  const Status unknown = DataLossError(
      "unknown .npy element type: dtype=" + std::string(descr) +
      (descr.find('O') != std::string_view::npos ? " (Python objects are pickles, which are never read)" : ""));
  if (descr.size() < 3) return Fail(unknown);
  ElementType type = {descr[0], descr[1], 0};
  const auto [end, error] = std::from_chars(descr.data() + 2, descr.data() + descr.size(), type.count);
  const bool known_order = type.order == '<' || type.order == '>' || type.order == '|';
  if (error != std::errc() || end != descr.data() + descr.size() || !known_order) return Fail(unknown);
  const bool power = std::has_single_bit(type.count) && type.count <= 8;
  const bool known = (type.kind == 'U' && type.count <= 1U << 20) ||
                     ((type.kind == 'i' || type.kind == 'u') && power) ||
                     (type.kind == 'f' && power && type.count > 1) || (type.kind == 'b' && type.count == 1);
  if (!known) return Fail(unknown);
  return type;
}

/// Returns: bytes that the shape asks for, unless 64 bits cannot count them.
std::optional<std::uint64_t> DataBytes(const std::vector<std::int64_t>& shape, std::uint64_t element_bytes) {
  std::uint64_t total = element_bytes;
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(total, static_cast<std::uint64_t>(extent), &total)) return std::nullopt;
  return total;
}

std::vector<std::byte> FromFortranOrder(std::span<const std::byte> data, const std::vector<std::int64_t>& shape,
                                        std::size_t element_bytes) {
  std::vector<std::byte> result(data.size());
  if (data.empty()) return result;
  std::vector<std::int64_t> index(shape.size(), 0);
  for (std::size_t to = 0; to < result.size(); to += element_bytes) {
    std::size_t from = 0;
    std::size_t stride = element_bytes;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      from += static_cast<std::size_t>(index[axis]) * stride;
      stride *= static_cast<std::size_t>(shape[axis]);
    }
    std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(from), element_bytes,
                result.begin() + static_cast<std::ptrdiff_t>(to));
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
  return result;
}

void AppendUtf8(std::uint32_t code, std::string& text) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | (code >> 12));
    text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | (code >> 18));
    text += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

std::int64_t NpyArray::size() const {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

Result<std::vector<std::string>> NpyText(const NpyArray& array) {
  FERMENT_ASSIGN_OR_RETURN(const ElementType type, ParseElementType(array.dtype));
  if (type.kind != 'U') return Fail(DataLossError("array is not text: dtype=" + array.dtype + " expected=<U*"));
  std::vector<std::string> values(static_cast<std::size_t>(array.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t k = 0; k < type.count; ++k) {
      std::uint32_t code = 0;
      std::memcpy(&code, array.data.data() + 4 * (i * type.count + k), 4);
      if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return Fail(DataLossError("no such character: code=" + std::to_string(code)));
      if (code != 0) AppendUtf8(code, values[i]);
    }
  }
  return values;
}

Result<NpyArray> ParseNpy(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.size() < 10) return Fail(Damaged("file ends inside the header: bytes=" + std::to_string(text.size())));
  if (!text.starts_with(kMagic)) return Fail(Damaged("magic is not \\x93NUMPY"));
  const int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3 || text[7] != 0)
    return Fail(Damaged("version " + std::to_string(version) + " is not one of 1, 2, 3"));
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (text.size() < 8 + length_bytes) return Fail(Damaged("file ends inside the header"));
  std::uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, text.data() + 8, length_bytes);
  const std::size_t data_begin = 8 + length_bytes + header_bytes;
  if (data_begin > text.size())
    return Fail(Damaged("header runs past the end: header_bytes=" + std::to_string(header_bytes) +
                        " bytes=" + std::to_string(text.size())));
  const auto header = HeaderScanner(text.substr(8 + length_bytes, header_bytes)).Scan();
  if (!header) return Fail(Damaged("header is not {'descr', 'fortran_order', 'shape'} of one plain type"));
  FERMENT_ASSIGN_OR_RETURN(const ElementType type, ParseElementType(header->descr));
  const auto wanted = DataBytes(header->shape, type.bytes());
  const auto data = bytes.subspan(data_begin);
  if (!wanted || *wanted != data.size())
    return Fail(Damaged("shape and bytes differ: wanted=" + (wanted ? std::to_string(*wanted) : "past 2^64") +
                        " bytes=" + std::to_string(data.size())));

  NpyArray array;
  array.shape = header->shape;
  const bool one_byte = type.swapped_unit() == 1;
  array.dtype = (one_byte ? "|" : "<") + std::string(1, type.kind) + std::to_string(type.count);
  array.data = header->fortran_order && array.shape.size() > 1 ? FromFortranOrder(data, array.shape, type.bytes())
                                                               : std::vector<std::byte>(data.begin(), data.end());
  if (type.order == '>' && !one_byte) {
    const auto unit = static_cast<std::ptrdiff_t>(type.swapped_unit());
    for (auto at = array.data.begin(); at != array.data.end(); at += unit) std::reverse(at, at + unit);
  }
  return array;
}

std::vector<std::byte> NpyBytes(const NpyArray& array) {
  std::string header = "{'descr': '" + array.dtype + "', 'fortran_order': False, 'shape': (";
  for (std::size_t axis = 0; axis < array.shape.size(); ++axis)
    header += (axis > 0 ? " " : "") + std::to_string(array.shape[axis]) +
              (axis + 1 < array.shape.size() || array.shape.size() == 1 ? "," : "");
  header += "), }";
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string start(kMagic);
  start += '\x01';
  start += '\0';
  start += static_cast<char>(header.size() & 0xFF);
  start += static_cast<char>(header.size() >> 8);
  start += header;
  std::vector<std::byte> bytes(start.size() + array.data.size());
  std::memcpy(bytes.data(), start.data(), start.size());
  std::copy(array.data.begin(), array.data.end(), bytes.begin() + static_cast<std::ptrdiff_t>(start.size()));
  return bytes;
}

}  // namespace ferment::io
