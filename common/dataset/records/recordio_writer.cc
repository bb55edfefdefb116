// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/recordio_writer.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common/base/check.h"
#include "common/dataset/records/recordio_reader.h"
#include "common/io/errno_status.h"

namespace ferment::dataset {
namespace {

constexpr std::size_t kLargestPart = (std::size_t{1} << 29) - 1;
constexpr std::uint32_t kWhole = 0, kFirst = 1, kMiddle = 2, kLast = 3;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

void AppendLittleEndian(std::uint64_t value, int bytes, std::vector<std::byte>& out) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i) & 0xFF));
}

void AppendFloat(float value, std::vector<std::byte>& out) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  AppendLittleEndian(bits, 4, out);
}

void AppendPart(std::uint32_t flag, std::span<const std::byte> payload, std::vector<std::byte>& out) {
  AppendLittleEndian(kRecordioMagic, 4, out);
  AppendLittleEndian(flag << 29 | payload.size(), 4, out);
  out.insert(out.end(), payload.begin(), payload.end());
  out.resize((out.size() + 3) / 4 * 4);
}

/// Returns: the record in as many parts as aligned magics in the payload ask for; the magics themselves fall out.
std::vector<std::byte> FrameRecord(std::span<const std::byte> payload) {
  std::vector<std::byte> magic;
  AppendLittleEndian(kRecordioMagic, 4, magic);
  std::vector<std::byte> framed;
  framed.reserve(payload.size() + 12);
  std::size_t begin = 0;
  for (std::size_t at = 0; at + 4 <= payload.size(); at += 4) {
    if (std::memcmp(payload.data() + at, magic.data(), 4) != 0) continue;
    AppendPart(begin == 0 ? kFirst : kMiddle, payload.subspan(begin, at - begin), framed);
    begin = at + 4;
  }
  AppendPart(begin == 0 ? kWhole : kLast, payload.subspan(begin), framed);
  return framed;
}

Status WriteAll(std::FILE* file, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) return io::WriteErrno(errno, "writing", path);
  return {};
}

Status SyncAndClose(File& file, const std::filesystem::path& path) {
  if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) return io::WriteErrno(errno, "syncing", path);
  file.reset();
  return {};
}

}  // namespace

struct RecordioWriter::Files {
  std::filesystem::path records_path, index_path;
  File records, index;
  std::uint64_t offset = 0;
};

RecordioWriter::RecordioWriter(std::unique_ptr<Files> files) : files_(std::move(files)) {}
RecordioWriter::RecordioWriter(RecordioWriter&&) noexcept = default;
RecordioWriter& RecordioWriter::operator=(RecordioWriter&&) noexcept = default;
RecordioWriter::~RecordioWriter() = default;

Result<RecordioWriter> RecordioWriter::Create(const std::filesystem::path& stem) {
  auto files = std::make_unique<Files>();
  files->records_path = stem.string() + ".rec";
  files->index_path = stem.string() + ".idx";
  files->records.reset(std::fopen(files->records_path.c_str(), "wb"));
  if (!files->records) return Fail(io::WriteErrno(errno, "creating", files->records_path));
  files->index.reset(std::fopen(files->index_path.c_str(), "wb"));
  if (!files->index) return Fail(io::WriteErrno(errno, "creating", files->index_path));
  return RecordioWriter(std::move(files));
}

Status RecordioWriter::Write(std::uint64_t key, std::span<const std::byte> payload) {
  FERMENT_CHECK(files_->records != nullptr);
  if (payload.size() > kLargestPart)
    return InvalidArgumentError("a RecordIO record holds at most 2^29 - 1 bytes: key=" + std::to_string(key) +
                                " bytes=" + std::to_string(payload.size()));
  const std::vector<std::byte> framed = FrameRecord(payload);
  FERMENT_RETURN_IF_ERROR(WriteAll(files_->records.get(), framed, files_->records_path));
  const std::string line = std::to_string(key) + "\t" + std::to_string(files_->offset) + "\n";
  files_->offset += framed.size();
  return WriteAll(files_->index.get(), std::as_bytes(std::span(line)), files_->index_path);
}

Status RecordioWriter::WriteImage(std::uint64_t key, const ImageRecordHeader& header,
                                  std::span<const std::byte> image) {
  FERMENT_CHECK(header.as_list || header.labels.size() == 1);
  std::vector<std::byte> payload;
  payload.reserve(24 + 4 * header.labels.size() + image.size());
  AppendLittleEndian(header.as_list ? header.labels.size() : 0, 4, payload);
  AppendFloat(header.as_list ? 0.0F : header.labels[0], payload);
  AppendLittleEndian(header.id, 8, payload);
  AppendLittleEndian(0, 8, payload);
  if (header.as_list)
    for (const float label : header.labels) AppendFloat(label, payload);
  payload.insert(payload.end(), image.begin(), image.end());
  return Write(key, payload);
}

Status RecordioWriter::Finish() {
  FERMENT_RETURN_IF_ERROR(SyncAndClose(files_->records, files_->records_path));
  return SyncAndClose(files_->index, files_->index_path);
}

}  // namespace ferment::dataset
