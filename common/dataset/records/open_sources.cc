// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/open_sources.h"

#include <filesystem>

#include "common/dataset/records/folder_source.h"
#include "common/dataset/records/insightface_source.h"

namespace ferment::dataset {

Result<std::unique_ptr<RecordSource>> OpenFr(const RunSpec& spec, const std::stop_token& stop) {
  const v1::FrSpec& fr = spec.data().fr();
  if (fr.path().empty())
    return Fail(InvalidArgumentError("data.fr.path is not set: give the folder of the unlabelled faces"));
  if (fr.format() == "folder") return OpenFolderSource(fr.path());
  if (!fr.format().empty() && fr.format() != "insightface")
    return Fail(InvalidArgumentError("unknown data.fr.format: " + fr.format() + "; one of insightface, folder"));
  FERMENT_ASSIGN_OR_RETURN(std::unique_ptr<InsightfaceSource> pack, OpenInsightfacePack(fr.path(), stop));
  return std::unique_ptr<RecordSource>(std::move(pack));
}

std::string DatasetName(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

}  // namespace ferment::dataset
