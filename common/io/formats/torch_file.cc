// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/torch_file.h"

#include <array>
#include <cstring>
#include <map>
#include <span>
#include <string_view>

#include "common/io/formats/safetensors_header.h"
#include "common/io/formats/torch_pickle.h"
#include "common/io/formats/zip_archive.h"
#include "common/io/local_file_system.h"
#include "common/io/read_handle.h"
#include "common/io/shown_name.h"

namespace ferment::io {
namespace {

constexpr std::size_t kMaxPickleBytes = 16U << 20U;
/// Views may repeat a storage's values (stride 0), so a small file could ask for any amount of memory.
constexpr std::uint64_t kRepeats = 4;
constexpr std::uint64_t kSpareBytes = 64U << 20U;
constexpr std::string_view kPickleName = "data.pkl";

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Archive {
  std::span<const std::byte> bytes;
  std::map<std::string, ZipEntry> entries;
  /// The folder all members stand in, with its slash.
  std::string root;

  Result<ZipMember> Read(const std::string& name) const {
    const auto found = entries.find(root + name);
    if (found == entries.end()) return Fail(DataLossError("the zip has no member " + ShownName(root + name)));
    auto member = ReadZipMember(bytes, found->second);
    if (!member) return Fail(member.error().With("member " + ShownName(root + name)));
    return member;
  }
};

Result<Archive> OpenArchive(std::span<const std::byte> bytes) {
  Archive archive = {bytes, {}, {}};
  FERMENT_ASSIGN_OR_RETURN(std::vector<ZipEntry> entries, ReadZipDirectory(bytes));
  bool found = false;
  for (ZipEntry& entry : entries) {
    const std::string name = entry.name;
    if (name == kPickleName || name.ends_with("/" + std::string(kPickleName))) {
      if (found) return Fail(DataLossError("more than one data.pkl in the zip"));
      found = true;
      archive.root = name.substr(0, name.size() - kPickleName.size());
    }
    if (!archive.entries.emplace(name, std::move(entry)).second)
      return Fail(DataLossError("member twice in the zip: " + ShownName(name)));
  }
  if (!found) return Fail(DataLossError("a zip, but not one of torch.save: it has no data.pkl"));
  return archive;
}

Result<TorchPlan> ReadPlan(const Archive& archive) {
  if (archive.entries.contains(archive.root + "byteorder")) {
    FERMENT_ASSIGN_OR_RETURN(const ZipMember order, archive.Read("byteorder"));
    if (TextOf(order.plain) != "little")
      return Fail(DataLossError("saved on a big-endian machine; save it again on a little-endian one: byteorder=" +
                                ShownName(TextOf(order.plain))));
  }
  if (archive.entries.at(archive.root + std::string(kPickleName)).plain_bytes > kMaxPickleBytes)
    return Fail(DataLossError("data.pkl is larger than a state dict's: allowed=" + std::to_string(kMaxPickleBytes)));
  FERMENT_ASSIGN_OR_RETURN(const ZipMember pickle, archive.Read(std::string(kPickleName)));
  return ParseTorchPickle(pickle.plain);
}

/// Every size against every other, before anything is read but the pickle. Requires: the plan's views lie inside their
/// storage_size.
Status CheckSizes(const Archive& archive, const TorchPlan& plan) {
  std::uint64_t stored = 0;
  std::uint64_t built = 0;
  std::map<std::string, std::uint64_t> storages;
  for (const PlannedTensor& tensor : plan.tensors) {
    const auto member = archive.entries.find(archive.root + "data/" + tensor.storage);
    std::uint64_t wanted = 0;
    const bool fits = !__builtin_mul_overflow(static_cast<std::uint64_t>(tensor.storage_size),
                                              SafetensorsElementBytes(tensor.dtype), &wanted);
    if (member == archive.entries.end() || !fits || member->second.plain_bytes != wanted)
      return DataLossError("storage missing or of another size: tensor=" + ShownName(tensor.name) +
                           " storage=" + ShownName(tensor.storage) + " wanted=" + std::to_string(wanted));
    if (storages.emplace(tensor.storage, wanted).second) stored += wanted;
    std::uint64_t bytes = SafetensorsElementBytes(tensor.dtype);
    bool overflows = false;
    for (const std::int64_t extent : tensor.shape)
      overflows = __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes) || overflows;
    if (overflows || __builtin_add_overflow(built, bytes, &built))
      return DataLossError("shape overflows: tensor=" + ShownName(tensor.name));
  }
  if (built / kRepeats > stored + kSpareBytes)
    return DataLossError("its views repeat their storages too often: bytes=" + std::to_string(built) +
                         " stored=" + std::to_string(stored));
  return {};
}

/// Copies a view into C order. Requires: it lies inside `storage`.
std::vector<std::byte> Gather(const PlannedTensor& tensor, std::span<const std::byte> storage) {
  const std::size_t element = SafetensorsElementBytes(tensor.dtype);
  std::size_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= static_cast<std::size_t>(extent);
  std::vector<std::byte> bytes(count * element);
  std::vector<std::int64_t> index(tensor.shape.size(), 0);
  std::int64_t at = tensor.offset;
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(bytes.data() + i * element, storage.data() + static_cast<std::size_t>(at) * element, element);
    for (std::size_t d = index.size(); d-- > 0;) {
      if (tensor.shape[d] == 1) continue;  // its stride is never walked, and may be any number
      at += tensor.stride[d];
      if (++index[d] < tensor.shape[d]) break;
      at -= tensor.stride[d] * tensor.shape[d];
      index[d] = 0;
    }
  }
  return bytes;
}

Result<WeightsFile> CopySafetensors(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const SafetensorsFile source, SafetensorsFile::Open(path));
  WeightsFile file;
  file.format = "safetensors";
  for (const auto& [name, view] : source.tensors())
    file.Add(name, view, std::vector<std::byte>(view.data.begin(), view.data.end()));
  return file;
}

}  // namespace

void WeightsFile::Add(std::string name, TensorView view, std::vector<std::byte> bytes) {
  data.push_back(std::move(bytes));
  view.data = data.back();
  views.emplace_back(std::move(name), std::move(view));
}

Result<WeightsFile> ParseTorchZip(std::span<const std::byte> bytes) {
  FERMENT_ASSIGN_OR_RETURN(const Archive archive, OpenArchive(bytes));
  FERMENT_ASSIGN_OR_RETURN(const TorchPlan plan, ReadPlan(archive));
  FERMENT_RETURN_IF_ERROR(CheckSizes(archive, plan));
  std::map<std::string, ZipMember> storages;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (storages.contains(tensor.storage)) continue;
    FERMENT_ASSIGN_OR_RETURN(ZipMember member, archive.Read("data/" + tensor.storage));
    storages.emplace(tensor.storage, std::move(member));
  }
  WeightsFile file;
  file.format = "torch";
  file.path = plan.path;
  for (const PlannedTensor& tensor : plan.tensors)
    file.Add(tensor.name, {.dtype = tensor.dtype, .shape = tensor.shape, .data = {}},
             Gather(tensor, storages.at(tensor.storage).plain));
  return file;
}

Result<WeightsFile> ReadWeights(const std::filesystem::path& path) {
  std::array<std::byte, 512> head = {};
  FERMENT_ASSIGN_OR_RETURN(const ReadHandle opened, ReadHandle::Open(path));
  FERMENT_ASSIGN_OR_RETURN(const std::size_t got, opened.ReadAt(0, head));
  const std::string_view text = TextOf(std::span(head).first(got));
  if (text.size() > 8 && text[8] == '{') return CopySafetensors(path);
  if (text.starts_with("PK\x03\x04")) {
    FERMENT_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, ReadFile(path));
    auto file = ParseTorchZip(bytes);
    if (!file) return Fail(file.error().With(path.string()));
    return file;
  }
  const bool pickle = text.starts_with('\x80');
  const bool tar = text.size() > 262 && text.substr(257, 5) == "ustar";
  if (pickle || tar) {
    return Fail(
        DataLossError("a bare pickle or PyTorch's format of before 1.6, which is not read, because that takes "
                      "running its pickle; save it again where you trust it: torch.save(torch.load(FILE, "
                      "weights_only=True), NEW): file=" +
                      path.string()));
  }
  return Fail(DataLossError("neither a torch.save zip nor safetensors: file=" + path.string() +
                            " bytes=" + std::to_string(opened.size())));
}

}  // namespace ferment::io
