// SPDX-License-Identifier: Apache-2.0
#include "common/config/run_spec.h"

namespace ferment {

bool LabelsOnGpus(const RunSpec& spec) {
  const std::string& wanted = spec.labeling().device();
  return wanted == "cuda" || (wanted == "auto" && spec.resources().device() == "cuda");
}

bool ReportsBest(const RunSpec& spec) { return spec.evaluate().select() == "best"; }

}  // namespace ferment
