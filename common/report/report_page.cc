// SPDX-License-Identifier: Apache-2.0
#include "common/report/report_page.h"

#include "common/report/html_text.h"

namespace ferment::report {

std::string RenderReportPage(const RunFigures& figures) {
  return "<!doctype html><meta charset=utf-8><title>" + Escaped(figures.name) + "</title><h1>" + Escaped(figures.name) +
         "</h1><p>" + Escaped(figures.status) + "</p>";
}

}  // namespace ferment::report
