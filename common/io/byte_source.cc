// SPDX-License-Identifier: Apache-2.0
#include "common/io/byte_source.h"

#include <utility>

#include "common/io/read_handle.h"

namespace ferment::io {
namespace {

class FileBytes final : public ByteSource {
 public:
  explicit FileBytes(ReadHandle file) : file_(std::move(file)) {}
  std::uint64_t size() const override { return file_.size(); }
  Result<ByteView> View(std::uint64_t offset, std::uint64_t count) const override {
    const auto bytes = std::make_shared<std::vector<std::byte>>(count);
    FERMENT_RETURN_IF_ERROR(file_.FillAt(offset, *bytes));
    return ByteView{*bytes, bytes};
  }

 private:
  const ReadHandle file_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> OpenFileBytes(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(ReadHandle file, ReadHandle::Open(path));
  return std::make_unique<FileBytes>(std::move(file));
}

}  // namespace ferment::io
