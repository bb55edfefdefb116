// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/ledger.h"

#include "common/base/check.h"

namespace ferment::coordinator {

void Ledger::Record(Event event) {
  book_.Apply(event);
  unsaved_.push_back(std::move(event));
}

std::shared_ptr<const RunSpec> Ledger::SpecOf(const Run& run) {
  std::shared_ptr<const RunSpec>& known = specs_[run.run_id];
  if (known == nullptr) {
    auto spec = std::make_shared<RunSpec>();
    FERMENT_CHECK(spec->ParseFromString(run.spec)) << "run=" << run.run_id;
    known = std::move(spec);
  }
  return known;
}

}  // namespace ferment::coordinator
