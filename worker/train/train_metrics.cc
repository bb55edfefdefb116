// SPDX-License-Identifier: Apache-2.0
#include "worker/train/train_metrics.h"

#include <sys/resource.h>

#include <cmath>
#include <sstream>
#include <utility>

#include "common/base/json.h"
#include "common/io/atomic_file.h"

namespace ferment::worker {

Result<CurveFile> CurveFile::Open(const std::filesystem::path& path, std::uint64_t next_step) {
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(path.parent_path()));
  std::string kept;
  {
    std::ifstream old(path);
    for (std::string line; std::getline(old, line);) {
      const auto object = ParseJson(line);
      if (!object || !object->is_object() || !object->contains("step") || !(*object)["step"].is_number_unsigned())
        continue;
      if ((*object)["step"].get<std::uint64_t>() < next_step) kept += line + "\n";
    }
  }
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(path, kept));
  std::ofstream file(path, std::ios::app);
  if (!file)
    return Fail(
        PermissionDeniedError("cannot write the curve: path=" + path.string()).WithExitCode(exit_code::kCannotWrite));
  return CurveFile(std::move(file));
}

void CurveFile::Append(std::uint64_t step, const std::map<std::string, double>& values) {
  Json line;
  line["step"] = step;
  for (const auto& [name, value] : values) {
    if (std::isfinite(value)) line[name] = value;
  }
  file_ << line.dump() << "\n" << std::flush;
}

ProcessUsage UsageOfThisProcess() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
}

}  // namespace ferment::worker
