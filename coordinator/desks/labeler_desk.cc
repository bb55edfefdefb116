// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/labeler_desk.h"

#include <algorithm>
#include <vector>

#include "common/base/logging.h"

namespace ferment::coordinator {
namespace {

/// One that is idle asks every two seconds at least.
constexpr std::chrono::seconds kLately{10};

}  // namespace

void LabelerDesk::HearAll() {
  known_.clear();
  cool_downs_.clear();
  for (const auto& [labeler_id, labeler] : ledger_.book().labelers()) {
    known_[labeler_id].heard = clock_.Now();
    Judge(labeler_id);
  }
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
  ledger_.Record(
      LabelerRegistered{labeler_id, identity.name, identity.incarnation, identity.instruction_set, identity.host});
  Hear(labeler_id);
  Judge(labeler_id);
  LogInfo("labeler.registered", {{"labeler", identity.name},
                                 {"host", identity.host},
                                 {"instruction_set", identity.instruction_set},
                                 {"replaces", identity.replaces}});
  return Registration{labeler_id, ""};
}

void LabelerDesk::Hear(const std::string& labeler_id) {
  known_[labeler_id].heard = clock_.Now();
  const Labeler* labeler = ledger_.book().FindLabeler(labeler_id);
  if (labeler != nullptr && labeler->silent) ledger_.Record(LabelerReturned{labeler_id});
}

bool LabelerDesk::MayReturn(std::string_view labeler_id) const {
  const auto known = known_.find(labeler_id);
  return ledger_.book().FindLabeler(labeler_id) != nullptr && known != known_.end() &&
         clock_.Now() - known->second.heard < kLongSilence;
}

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

void LabelerDesk::Judge(const std::string& labeler_id) {
  const Labeler* labeler = ledger_.book().FindLabeler(labeler_id);
  if (labeler == nullptr) return;
  const auto known = cool_downs_.find(labeler->name);
  if (labeler->failures == (known == cool_downs_.end() ? 0 : known->second.failures)) return;
  const std::chrono::milliseconds time = CoolDownFor(rules_.cool_down, labeler->failures);
  if (time > std::chrono::milliseconds(0)) {
    cool_downs_[labeler->name] = {labeler->failures, clock_.Now() + time};
    metrics_.cool_down.Increment();
    LogWarning("labeler.cools_down", {{"labeler", labeler->name},
                                      {"host", labeler->host},
                                      {"failures_in_a_row", labeler->failures},
                                      {"seconds", std::chrono::duration<double>(time).count()},
                                      {"next", "it is granted nothing until then; a shard that it commits ends this"}});
  } else if (known != cool_downs_.end()) {
    cool_downs_.erase(known);
    LogInfo("labeler.recovered", {{"labeler", labeler->name}, {"host", labeler->host}});
  }
}

std::chrono::milliseconds LabelerDesk::CoolDownLeft(const Labeler& labeler) const {
  const auto found = cool_downs_.find(labeler.name);
  if (found == cool_downs_.end()) return std::chrono::milliseconds(0);
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(found->second.until - clock_.Now()),
                  std::chrono::milliseconds(0));
}

std::size_t LabelerDesk::CountCoolingDown() const {
  const MonotonicTime now = clock_.Now();
  return static_cast<std::size_t>(
      std::count_if(cool_downs_.begin(), cool_downs_.end(), [now](const auto& one) { return one.second.until > now; }));
}

bool LabelerDesk::HeardLately(const Labeler& labeler) const {
  const auto known = known_.find(labeler.labeler_id);
  return known != known_.end() && clock_.Now() - known->second.heard <= kLately;
}

void LabelerDesk::ForgetSilent() {
  const MonotonicTime now = clock_.Now();
  if (now < next_look_ || known_.empty()) return;
  next_look_ = now + rules_.forget_after;
  std::vector<std::string> silent;
  for (const auto& [labeler_id, known] : known_) {
    const MonotonicTime limit = known.heard + rules_.forget_after;
    if (limit <= now && ledger_.book().LeasesOf(labeler_id).empty()) {
      silent.push_back(labeler_id);
    } else {
      next_look_ = std::min(next_look_, std::max(limit, now + rules_.forget_after / 8));
    }
  }
  for (const std::string& labeler_id : silent) {
    LogInfo("labeler.forgotten", {{"labeler", labeler_id}});
    known_.erase(labeler_id);
    cool_downs_.erase(ledger_.book().FindLabeler(labeler_id)->name);
    ledger_.Record(LabelerForgotten{labeler_id});
  }
}

}  // namespace ferment::coordinator
