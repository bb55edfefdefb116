// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/label_files.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "common/base/json_field.h"
#include "common/io/atomic_file.h"
#include "common/io/errno_status.h"
#include "common/io/local_file_system.h"
#include "common/io/object/conditional_writes.h"
#include "common/io/object/s3_object_store.h"
#include "common/io/write_probe.h"

namespace ferment::dataset {
namespace {

constexpr char kStoreName[] = "store.json";

class LocalFiles final : public LabelFiles {
 public:
  explicit LocalFiles(std::filesystem::path folder) : folder_(std::move(folder)), files_(io::MakeLocalFileSystem()) {}

  Result<std::vector<std::byte>> Read(const std::string& name, std::uint64_t most_bytes) override {
    FERMENT_ASSIGN_OR_RETURN(const std::uint64_t bytes, Size(name));
    if (bytes > most_bytes) {
      return Fail(DataLossError("larger than such a file can be: file=" + NameOf(name) +
                                " bytes=" + std::to_string(bytes) + " allowed=" + std::to_string(most_bytes)));
    }
    return files_->Read(folder_ / name);
  }
  Result<std::uint64_t> Size(const std::string& name) override { return files_->Size(folder_ / name); }
  Status WriteOnce(const std::string& name, std::span<const std::byte> bytes) override {
    return files_->Write(folder_ / name, bytes);
  }
  Result<std::vector<std::string>> Names() override { return files_->List(folder_); }
  std::string NameOf(const std::string& name) const override { return (folder_ / name).string(); }

 private:
  const std::filesystem::path folder_;
  const std::unique_ptr<io::FileSystem> files_;
};

class ObjectFiles final : public LabelFiles {
 public:
  ObjectFiles(std::shared_ptr<io::ObjectStore> store, io::ObjectUrl url)
      : store_(std::move(store)), url_(std::move(url)) {}

  Result<std::vector<std::byte>> Read(const std::string& name, std::uint64_t most_bytes) override {
    return io::ReadObject(*store_, url_.Below(name).key, most_bytes);
  }
  Result<std::uint64_t> Size(const std::string& name) override {
    FERMENT_ASSIGN_OR_RETURN(const io::ObjectFacts facts, store_->Head(url_.Below(name).key));
    return facts.size;
  }
  Status WriteOnce(const std::string& name, std::span<const std::byte> bytes) override {
    return store_->PutIfAbsent(url_.Below(name).key, bytes);
  }
  Result<std::vector<std::string>> Names() override {
    const std::string prefix = url_.key + "/";
    std::vector<std::string> names;
    std::string from;
    do {
      FERMENT_ASSIGN_OR_RETURN(io::ObjectPage page, store_->List(prefix, from));
      for (const auto& object : page.objects) names.push_back(object.key.substr(prefix.size()));
      from = std::move(page.next);
    } while (!from.empty());
    return names;
  }
  std::string NameOf(const std::string& name) const override { return url_.Below(name).Text(); }

 private:
  const std::shared_ptr<io::ObjectStore> store_;
  const io::ObjectUrl url_;
};

std::filesystem::path Labels(const std::filesystem::path& run_dir) { return run_dir / "labels"; }

/// Whether a run has label sets here, or has said where they are. A folder alone says neither: who made it may have
/// been killed before that.
Result<bool> IsPlaced(const std::filesystem::path& labels) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(labels, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    if (!entry->is_directory(gone) && !io::IsTemporaryName(entry->path().filename().string())) return true;
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return Fail(io::ReadErrno(error.value(), "cannot look through the folders", labels));
  }
  return false;
}

}  // namespace

Result<std::optional<io::ObjectUrl>> LabelUrlOf(const std::filesystem::path& folder) {
  const auto teacher = folder.parent_path();
  const auto labels = teacher.parent_path().parent_path();
  std::error_code unknown;
  // Each commit asks, and most runs have their label sets beside them: a look makes no error of what is not there.
  if (!std::filesystem::exists(labels / kStoreName, unknown) && !unknown) return std::optional<io::ObjectUrl>();
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(labels / kStoreName));
  const auto json = ParseJson(text);
  const std::string url = json ? TextOr(Field(*json, "url"), "") : "";
  const auto place = io::ParseObjectUrl(url);
  if (!place)
    return Fail(DataLossError("store.json does not say where the label sets are: " +
                              std::string(place.error().message()) + " file=" + (labels / kStoreName).string()));
  return std::optional(
      place->Below((teacher.parent_path().filename() / teacher.filename() / folder.filename()).string()));
}

Result<std::unique_ptr<LabelFiles>> OpenLabelFiles(const std::filesystem::path& folder, const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(auto url, LabelUrlOf(folder));
  if (!url) return std::make_unique<LocalFiles>(folder);
  FERMENT_ASSIGN_OR_RETURN(auto store, io::OpenObjectStore(*url, stop));
  return std::make_unique<ObjectFiles>(std::move(store), *std::move(url));
}

Status TryToWriteLabels(const std::filesystem::path& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto url, LabelUrlOf(folder));
  return url ? Status() : io::TryToWriteIn(folder);
}

Status PlaceLabels(const std::filesystem::path& run_dir, const std::string& run_name, const std::string& store,
                   const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const io::ObjectUrl root, io::ParseObjectUrl(store));
  FERMENT_ASSIGN_OR_RETURN(const bool placed, IsPlaced(Labels(run_dir)));
  if (placed) return {};
  const io::ObjectUrl place = root.Below(run_name);
  FERMENT_ASSIGN_OR_RETURN(const auto bucket, io::OpenObjectStore(place, stop));
  FERMENT_RETURN_IF_ERROR(io::TryConditions(*bucket, place.Below(".ferment-conditions")));
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(Labels(run_dir)));
  const Json json = {{"url", place.Text()}};
  return io::WriteFileAtomically(Labels(run_dir) / kStoreName, json.dump() + "\n");
}

}  // namespace ferment::dataset
