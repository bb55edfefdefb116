// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/pack_folder.h"

#include <filesystem>
#include <utility>

#include "common/io/local_file_system.h"
#include "common/io/object/object_bytes.h"
#include "common/io/object/object_url.h"
#include "common/io/object/s3_object_store.h"

namespace ferment::dataset {
namespace {

/// A pack's folder has a few files.
constexpr std::size_t kMostNames = 100'000;

class LocalFolder final : public PackFolder {
 public:
  explicit LocalFolder(std::filesystem::path path) : path_(std::move(path)) {}

  Result<std::vector<std::string>> Names() const override { return io::ListFolder(path_); }
  Result<std::unique_ptr<io::ByteSource>> OpenFile(std::string_view name) const override {
    return io::OpenFileBytes(path_ / name);
  }
  std::string NameOf(std::string_view name) const override { return (path_ / name).string(); }

 private:
  const std::filesystem::path path_;
};

class ObjectFolder final : public PackFolder {
 public:
  ObjectFolder(std::shared_ptr<io::ObjectStore> store, io::ObjectUrl url)
      : store_(std::move(store)), url_(std::move(url)) {}

  Result<std::vector<std::string>> Names() const override {
    const std::string prefix = url_.key.empty() ? "" : url_.key + "/";
    std::vector<std::string> names;
    std::string from;
    do {
      FERMENT_ASSIGN_OR_RETURN(io::ObjectPage page, store_->List(prefix, from));
      for (const auto& object : page.objects) {
        if (object.key.size() > prefix.size()) names.push_back(object.key.substr(prefix.size()));
      }
      from = std::move(page.next);
    } while (!from.empty() && names.size() < kMostNames);
    if (names.empty()) return Fail(NotFoundError("no object in the folder: url=" + url_.Text() + "/"));
    return names;
  }
  Result<std::unique_ptr<io::ByteSource>> OpenFile(std::string_view name) const override {
    return io::OpenObjectBytes(store_, url_.Below(name).key);
  }
  std::string NameOf(std::string_view name) const override { return url_.Below(name).Text(); }

 private:
  const std::shared_ptr<io::ObjectStore> store_;
  const io::ObjectUrl url_;
};

}  // namespace

Result<std::unique_ptr<PackFolder>> OpenPackFolder(const std::string& path, const std::stop_token& stop) {
  if (!io::IsObjectUrl(path)) return std::make_unique<LocalFolder>(path);
  FERMENT_ASSIGN_OR_RETURN(io::ObjectUrl url, io::ParseObjectUrl(path));
  FERMENT_ASSIGN_OR_RETURN(auto store, io::OpenObjectStore(url, stop));
  return std::make_unique<ObjectFolder>(std::move(store), std::move(url));
}

}  // namespace ferment::dataset
