// SPDX-License-Identifier: Apache-2.0
#include "common/report/run_report.h"

#include <fstream>
#include <string>
#include <system_error>

#include "common/config/run_layout.h"
#include "common/report/figures_reader.h"
#include "common/report/report_json.h"
#include "common/report/report_page.h"

namespace ferment::report {
namespace {

Status WriteWhole(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path temporary = path.string() + ".tmp";
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << text;
    if (!file.flush()) {
      return InternalError("cannot write the report: path=" + path.string()).WithExitCode(exit_code::kCannotWrite);
    }
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) return InternalError("cannot rename the report: path=" + path.string() + " error=" + error.message());
  return {};
}

}  // namespace

Status WriteReport(const std::filesystem::path& run_dir) {
  const RunLayout layout(run_dir);
  std::error_code error;
  if (!std::filesystem::exists(layout.Spec(), error)) {
    return NotFoundError("not a run folder, it has no spec.yaml: path=" + run_dir.string());
  }
  FERMENT_ASSIGN_OR_RETURN(const RunFigures figures, ReadRunFigures(layout));
  FERMENT_RETURN_IF_ERROR(WriteWhole(layout.ReportJson(), ReportDocument(figures).dump(2) + "\n"));
  return WriteWhole(layout.ReportPage(), RenderReportPage(figures));
}

}  // namespace ferment::report
