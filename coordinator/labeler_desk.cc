// SPDX-License-Identifier: Apache-2.0
#include "coordinator/labeler_desk.h"

#include <algorithm>
#include <vector>

#include "common/base/logging.h"

namespace ferment::coordinator {

void LabelerDesk::HearAll() {
  known_.clear();
  for (const auto& [labeler_id, labeler] : ledger_.book().labelers()) Hear(labeler_id);
}

Result<Registration> LabelerDesk::Register(const LabelerIdentity& identity) {
  if (identity.name.empty() || identity.incarnation.empty()) {
    return Fail(InvalidArgumentError("a labeler needs a name and an incarnation"));
  }
  const std::string labeler_id = identity.name + "/" + identity.incarnation;
  if (const Labeler* holder = ledger_.book().FindLabelerByName(identity.name)) {
    const std::string former = holder->labeler_id;
    if (former == labeler_id) return Registration{labeler_id, ""};
    if (former != identity.replaces) return Registration{"", former};
    end_leases_(former);
    known_.erase(former);
  }
  ledger_.Record(LabelerRegistered{labeler_id, identity.name, identity.incarnation, identity.instruction_set});
  Hear(labeler_id);
  LogInfo("labeler.registered",
          {{"labeler", identity.name}, {"instruction_set", identity.instruction_set}, {"replaces", identity.replaces}});
  return Registration{labeler_id, ""};
}

void LabelerDesk::Hear(const std::string& labeler_id) { known_[labeler_id].heard = clock_.Now(); }

std::uint64_t LabelerDesk::NoteCall(const Labeler& labeler, std::uint64_t call) {
  std::uint64_t& last = known_[labeler.labeler_id].last_call;
  last = std::max({last, labeler.last_call, call});
  return last;
}

void LabelerDesk::NoteProgress(const std::string& labeler_id, std::uint64_t change) {
  if (const auto known = known_.find(labeler_id); known != known_.end()) known->second.progress += change;
}

void LabelerDesk::Observe(const std::string& labeler_id) {
  const auto known = known_.find(labeler_id);
  const Labeler* labeler = ledger_.book().FindLabeler(labeler_id);
  if (known == known_.end() || labeler == nullptr) return;
  known->second.rate.Observe(clock_.Now(), labeler->records + known->second.progress);
}

double LabelerDesk::RecordRate(const std::string& labeler_id) const {
  const auto known = known_.find(labeler_id);
  return known == known_.end() ? 0 : known->second.rate.PerSecond(clock_.Now());
}

void LabelerDesk::ForgetSilent() {
  const MonotonicTime now = clock_.Now();
  if (now < next_look_ || known_.empty()) return;
  next_look_ = now + forget_after_;
  std::vector<std::string> silent;
  for (const auto& [labeler_id, known] : known_) {
    const MonotonicTime limit = known.heard + forget_after_;
    if (limit <= now && ledger_.book().LeasesOf(labeler_id).empty()) {
      silent.push_back(labeler_id);
    } else {
      next_look_ = std::min(next_look_, std::max(limit, now + forget_after_ / 8));
    }
  }
  for (const std::string& labeler_id : silent) {
    LogInfo("labeler.forgotten", {{"labeler", labeler_id}});
    known_.erase(labeler_id);
    ledger_.Record(LabelerForgotten{labeler_id});
  }
}

}  // namespace ferment::coordinator
