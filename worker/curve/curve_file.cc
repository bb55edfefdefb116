// SPDX-License-Identifier: Apache-2.0
#include "worker/curve/curve_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <fstream>
#include <span>
#include <utility>

#include "common/base/json.h"
#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::worker {
namespace {

std::string RowsBefore(std::uint64_t next_step, const std::filesystem::path& path) {
  std::string rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto row = ParseJson(line);
    if (!row || !row->is_object() || !row->contains("step") || !(*row)["step"].is_number_unsigned()) continue;
    if ((*row)["step"].get<std::uint64_t>() < next_step) rows += line + "\n";
  }
  return rows;
}

}  // namespace

std::string CurveRow(std::uint64_t step, const std::map<std::string, double>& figures) {
  Json row = {{"step", step}};
  for (const auto& [name, value] : figures) {
    if (std::isfinite(value)) row[name] = value;
  }
  return row.dump() + "\n";
}

CurveFile::CurveFile(std::filesystem::path path, std::uint64_t next_step, io::Fence may_write)
    : path_(std::move(path)), next_step_(next_step), may_write_(std::move(may_write)) {}

CurveFile::~CurveFile() { End(); }

Status CurveFile::Append(std::string_view rows, std::uint64_t last_step) {
  if (handle_ < 0) FERMENT_RETURN_IF_ERROR(Begin());
  const Status written = io::WriteAll(handle_, std::as_bytes(std::span(rows)), "cannot write", path_);
  if (!written.ok()) {
    End();
    return written;
  }
  next_step_ = last_step + 1;
  return {};
}

Status CurveFile::Begin() {
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(path_.parent_path()));
  FERMENT_ASSIGN_OR_RETURN(io::AtomicFile file, writer_.Begin(path_, may_write_));
  FERMENT_RETURN_IF_ERROR(file.Append(RowsBefore(next_step_, path_)));
  // Before it has its name, which may be that of a later trainer's file at any time after.
  handle_ = io::Uninterrupted([&] { return ::open(file.temporary().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC); });
  if (handle_ < 0) return io::WriteErrno(errno, "cannot open", file.temporary());
  const Status appeared = io::FencedWriter::Finish(std::move(file), may_write_);
  if (!appeared.ok()) End();
  return appeared;
}

void CurveFile::End() {
  if (handle_ >= 0) ::close(std::exchange(handle_, -1));
}

}  // namespace ferment::worker
