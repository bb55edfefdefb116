// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/folder_source.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "common/dataset/pictures/picture_decoder.h"
#include "common/io/errno_status.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

class FolderSource final : public RecordSource {
 public:
  FolderSource(std::filesystem::path root, std::vector<std::string> names)
      : root_(std::move(root)), names_(std::move(names)) {}

  std::uint64_t size() const override { return names_.size(); }
  std::uint64_t KeyAt(std::uint64_t index) const override { return index + 1; }

  Result<EncodedRecord> Read(std::uint64_t index) const override {
    auto bytes = io::ReadFile(root_ / names_[index]);
    if (!bytes) {
      const bool missing = bytes.error().code() == StatusCode::kNotFound;
      const Status untold = io::WithoutPath(bytes.error(), root_ / names_[index]);
      return Fail(DataLossError((missing ? "file-missing: " : "file-unreadable: ") + std::string(untold.message()) +
                                " key=" + std::to_string(KeyAt(index))));
    }
    return EncodedRecord(KeyAt(index), *std::move(bytes));
  }

 private:
  std::filesystem::path root_;
  std::vector<std::string> names_;
};

}  // namespace

Result<std::unique_ptr<RecordSource>> OpenFolderSource(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(path, error);
  if (error) return Fail(io::ReadErrno(error.value(), "cannot list the folder of unlabelled faces", path));
  std::vector<std::string> names;
  while (entry != std::filesystem::recursive_directory_iterator()) {
    if (HasPictureName(entry->path()) && entry->is_regular_file(error))
      names.push_back(entry->path().lexically_relative(path).generic_string());
    entry.increment(error);
    if (error) return Fail(io::ReadErrno(error.value(), "cannot list the folder of unlabelled faces", path));
  }
  if (names.empty()) return Fail(NotFoundError("no .jpg, .jpeg or .png file: folder=" + path.string()));
  std::sort(names.begin(), names.end());
  return std::unique_ptr<RecordSource>(std::make_unique<FolderSource>(path, std::move(names)));
}

}  // namespace ferment::dataset
