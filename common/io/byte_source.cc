// SPDX-License-Identifier: Apache-2.0
#include "common/io/byte_source.h"

#include <utility>

#include "common/io/mapped_file.h"

namespace ferment::io {
namespace {

class MappedBytes final : public ByteSource {
 public:
  explicit MappedBytes(MappedFile file) : file_(std::move(file)) {}
  std::uint64_t size() const override { return file_.bytes().size(); }
  Result<ByteView> View(std::uint64_t offset, std::uint64_t count) const override {
    return ByteView{file_.bytes().subspan(offset, count), nullptr};
  }

 private:
  const MappedFile file_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> OpenMappedBytes(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  return std::make_unique<MappedBytes>(std::move(file));
}

}  // namespace ferment::io
