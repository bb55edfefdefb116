// SPDX-License-Identifier: Apache-2.0
#include "common/report/run_report.h"

#include <system_error>

#include "common/config/run_layout.h"
#include "common/report/figures_reader.h"
#include "common/report/report_json.h"
#include "common/report/report_page.h"

namespace ferment::report {

Status WriteReport(const std::filesystem::path& run_dir) {
  return WriteReport(run_dir, [](const std::filesystem::path& path, std::string_view text) {
    return io::WriteFileAtomically(path, text);
  });
}

Status WriteReport(const std::filesystem::path& run_dir, const io::WriteText& write) {
  const RunLayout layout(run_dir);
  std::error_code error;
  if (!std::filesystem::exists(layout.Spec(), error)) {
    return NotFoundError("not a run folder, it has no spec.yaml: path=" + run_dir.string());
  }
  FERMENT_ASSIGN_OR_RETURN(const RunFigures figures, ReadRunFigures(layout));
  FERMENT_RETURN_IF_ERROR(
      write(layout.ReportJson(), ReportDocument(figures).dump(2, ' ', false, Json::error_handler_t::replace) + "\n"));
  return write(layout.ReportPage(), RenderReportPage(figures));
}

}  // namespace ferment::report
