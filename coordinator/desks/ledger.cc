// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/ledger.h"

#include "common/base/check.h"

namespace ferment::coordinator {

Status NoSuchRun(std::string_view run_id) {
  return NotFoundError("no such run: run=" + std::string(run_id) +
                       " (of those that ended the last ones are remembered, as --keep-runs says; the folder of an "
                       "earlier one has its report)");
}

void Ledger::Record(Event event) {
  book_.Apply(event);
  if (const auto* end = std::get_if<RunEnded>(&event)) specs_.erase(end->run_id);
  unsaved_.push_back(std::move(event));
}

std::shared_ptr<const RunSpec> Ledger::SpecOf(const Run& run) {
  if (const auto known = specs_.find(run.run_id); known != specs_.end()) return known->second;
  auto spec = std::make_shared<RunSpec>();
  FERMENT_CHECK(spec->ParseFromString(run.spec)) << "run=" << run.run_id;
  if (run.state == RunState::kRunning) specs_[run.run_id] = spec;
  return spec;
}

}  // namespace ferment::coordinator
