// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/npz_file.h"

#include <utility>

#include "common/base/check.h"
#include "common/io/checksum.h"
#include "common/io/formats/zip_archive.h"
#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

constexpr std::uint16_t kVersion = 20;
constexpr std::uint16_t kDate1980 = (1U << 5) | 1U;
constexpr std::string_view kSuffix = ".npy";

template <typename T>
void Put(T value, std::vector<std::byte>& bytes) {
  const auto view = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), view.begin(), view.end());
}

void PutText(std::string_view text, std::vector<std::byte>& bytes) {
  const auto view = std::as_bytes(std::span(text));
  bytes.insert(bytes.end(), view.begin(), view.end());
}

Status Damaged(std::string_view what) { return DataLossError("damaged .npz: " + std::string(what)); }

}  // namespace

void NpzWriter::Add(std::string_view name, const NpyArray& array) {
  const std::vector<std::byte> npy = NpyBytes(array);
  const std::string file_name = std::string(name) + std::string(kSuffix);
  FERMENT_CHECK(bytes_.size() + npy.size() + file_name.size() + (1U << 20) < kInZip64Extra) << "label set past 4 GiB";
  for (const Member& member : members_) FERMENT_CHECK(member.name != file_name) << "member twice: " << file_name;
  const Member member = {file_name, Crc32(npy), static_cast<std::uint32_t>(npy.size()),
                         static_cast<std::uint32_t>(bytes_.size())};
  Put(kZipLocalMagic, bytes_);
  Put(kVersion, bytes_);
  Put(std::uint32_t{0}, bytes_);  // flags, method stored
  Put(std::uint16_t{0}, bytes_);  // time
  Put(kDate1980, bytes_);
  Put(member.crc, bytes_);
  Put(member.size_bytes, bytes_);
  Put(member.size_bytes, bytes_);
  Put(static_cast<std::uint16_t>(file_name.size()), bytes_);
  Put(std::uint16_t{0}, bytes_);  // extra
  PutText(file_name, bytes_);
  bytes_.insert(bytes_.end(), npy.begin(), npy.end());
  members_.push_back(member);
}

std::vector<std::byte> NpzWriter::Finish() {
  const auto directory = static_cast<std::uint32_t>(bytes_.size());
  for (const Member& member : members_) {
    Put(kZipCentralMagic, bytes_);
    Put(kVersion, bytes_);
    Put(kVersion, bytes_);
    Put(std::uint32_t{0}, bytes_);  // flags, method stored
    Put(std::uint16_t{0}, bytes_);  // time
    Put(kDate1980, bytes_);
    Put(member.crc, bytes_);
    Put(member.size_bytes, bytes_);
    Put(member.size_bytes, bytes_);
    Put(static_cast<std::uint16_t>(member.name.size()), bytes_);
    Put(std::uint64_t{0}, bytes_);  // extra, comment, disk, internal attributes
    Put(std::uint32_t{0}, bytes_);  // external attributes
    Put(member.offset, bytes_);
    PutText(member.name, bytes_);
  }
  const auto directory_bytes = static_cast<std::uint32_t>(bytes_.size()) - directory;
  Put(kZipEndMagic, bytes_);
  Put(std::uint32_t{0}, bytes_);  // disks
  Put(static_cast<std::uint16_t>(members_.size()), bytes_);
  Put(static_cast<std::uint16_t>(members_.size()), bytes_);
  Put(directory_bytes, bytes_);
  Put(directory, bytes_);
  Put(std::uint16_t{0}, bytes_);  // comment
  members_.clear();
  return std::exchange(bytes_, {});
}

Result<std::map<std::string, NpyArray>> ParseNpz(std::span<const std::byte> bytes) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<ZipEntry> entries, ReadZipDirectory(bytes));
  std::map<std::string, NpyArray> arrays;
  for (const ZipEntry& entry : entries) {
    std::string name = entry.name;
    if (name.ends_with(kSuffix)) name.resize(name.size() - kSuffix.size());
    const auto member = ReadZipMember(bytes, entry);
    if (!member) return Fail(member.error().With("member " + entry.name));
    auto array = ParseNpy(member->plain);
    if (!array) return Fail(array.error().With("member " + entry.name));
    if (!arrays.emplace(name, *std::move(array)).second) return Fail(Damaged("member twice: " + entry.name));
  }
  return arrays;
}

Result<std::map<std::string, NpyArray>> ReadNpz(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, ReadFile(path));
  auto arrays = ParseNpz(bytes);
  if (!arrays) return Fail(arrays.error().With(path.string()));
  return arrays;
}

Result<NpyArray> ReadNpy(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, ReadFile(path));
  auto array = ParseNpy(bytes);
  if (!array) return Fail(array.error().With(path.string()));
  return array;
}

}  // namespace ferment::io
