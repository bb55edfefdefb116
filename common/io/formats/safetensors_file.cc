// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/safetensors_file.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

#include "common/base/json.h"
#include "common/io/atomic_file.h"
#include "common/io/formats/safetensors_header.h"
#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference library's limit
constexpr std::size_t kLengthBytes = 8;

Status CheckView(const std::string& name, const TensorView& view) {
  std::uint64_t wanted = SafetensorsElementBytes(view.dtype);
  if (wanted == 0) return InvalidArgumentError("unknown dtype: tensor=" + name + " dtype=" + view.dtype);
  for (const std::int64_t extent : view.shape) wanted *= static_cast<std::uint64_t>(extent);
  if (wanted != view.data.size())
    return InvalidArgumentError("shape and data differ: tensor=" + name + " wanted=" + std::to_string(wanted) +
                                " bytes=" + std::to_string(view.data.size()));
  return {};
}

/// Returns: for each tensor where its data begin, when they lie by falling element size.
std::vector<std::uint64_t> LayOut(const NamedTensorViews& tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return SafetensorsElementBytes(tensors[a].second.dtype) > SafetensorsElementBytes(tensors[b].second.dtype);
  });
  std::vector<std::uint64_t> begins(tensors.size());
  std::uint64_t at = 0;
  for (const std::size_t index : order) {
    begins[index] = at;
    at += tensors[index].second.data.size();
  }
  return begins;
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(std::vector<std::byte> read, ReadFile(path));
  SafetensorsFile file(path, std::move(read));
  const std::span<const std::byte> bytes = file.bytes_;
  std::uint64_t header_bytes = 0;
  if (bytes.size() < kLengthBytes)
    return Fail(DataLossError(path.string() + ": too short for safetensors: bytes=" + std::to_string(bytes.size())));
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - kLengthBytes)
    return Fail(DataLossError(path.string() + ": safetensors header runs past the end: header_bytes=" +
                              std::to_string(header_bytes) + " bytes=" + std::to_string(bytes.size())));
  const auto data = bytes.subspan(kLengthBytes + header_bytes);
  auto header = ParseSafetensorsHeader(
      std::string_view(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_bytes), data.size());
  if (!header) return Fail(header.error().With(path.string()));
  for (SafetensorsEntry& entry : header->entries)
    file.tensors_.emplace_back(std::move(entry.name), TensorView{std::move(entry.dtype), std::move(entry.shape),
                                                                 data.subspan(entry.begin, entry.end - entry.begin)});
  file.metadata_ = std::move(header->metadata);
  return file;
}

Result<TensorView> SafetensorsFile::Find(std::string_view name) const {
  for (const auto& [tensor_name, view] : tensors_)
    if (tensor_name == name) return view;
  return Fail(NotFoundError("no such tensor: name=" + std::string(name) + " file=" + path_.string()));
}

Result<std::vector<std::byte>> SafetensorsBytes(const NamedTensorViews& tensors, const SafetensorsMetadata& metadata) {
  const std::vector<std::uint64_t> begins = LayOut(tensors);
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t data_bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, view] = tensors[i];
    FERMENT_RETURN_IF_ERROR(CheckView(name, view));
    if (header.contains(name)) return Fail(InvalidArgumentError("tensor twice: name=" + name));
    header[name] = {
        {"dtype", view.dtype}, {"shape", view.shape}, {"data_offsets", {begins[i], begins[i] + view.data.size()}}};
    data_bytes += view.data.size();
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::vector<std::byte> bytes(kLengthBytes + text.size() + data_bytes);
  const std::uint64_t header_bytes = text.size();
  std::memcpy(bytes.data(), &header_bytes, kLengthBytes);
  std::memcpy(bytes.data() + kLengthBytes, text.data(), text.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto data = tensors[i].second.data;
    if (!data.empty()) std::memcpy(bytes.data() + kLengthBytes + text.size() + begins[i], data.data(), data.size());
  }
  return bytes;
}

Status WriteSafetensors(const std::filesystem::path& path, const NamedTensorViews& tensors,
                        const SafetensorsMetadata& metadata, const std::function<Status()>& may_appear) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, SafetensorsBytes(tensors, metadata));
  return WriteFileAtomically(path, bytes, may_appear);
}

}  // namespace ferment::io
