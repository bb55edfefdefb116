// SPDX-License-Identifier: Apache-2.0
//
// Who works: registers labelers, lets those cool down that fail again and again, forgets those that fell silent, and
// keeps what nobody needs after a restart: when each was heard, the number of its last call, its rate.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "coordinator/core/lease_policy.h"
#include "coordinator/desks/ledger.h"
#include "coordinator/metrics/rate_meter.h"
#include "coordinator/metrics/scheduler_metrics.h"

namespace ferment::coordinator {

struct LabelerIdentity {
  std::string name;
  /// Chosen anew by each process.
  std::string incarnation;
  std::string instruction_set;
  /// The labeler whose place this process takes: what an earlier answer named as the holder of its name. Empty:
  /// nobody's.
  std::string replaces = {};
  /// The machine that it runs on; empty: it does not say.
  std::string host = {};
};

/// One of both is empty.
struct Registration {
  std::string labeler_id;
  /// Another process has the name. Who never had it itself may ask again, naming this one as the one it replaces.
  std::string held_by;
};

/// Incarnations have no order, and a call may arrive long after its process died. So nobody takes a name from another
/// by one call: the second, which names the holder, is made only by a process that lived to hear of it, and is void as
/// soon as the name has gone to a third.
///
/// How often a labeler has failed in a row is the book's, so that a restart forgets none of it; when its cool-down ends
/// is kept here, and a restart begins the cool-down anew.
///
/// Thread: the scheduler's.
class LabelerDesk {
 public:
  struct Rules {
    /// How long a labeler without a lease may be silent before nothing is kept of it.
    std::chrono::milliseconds forget_after;
    CoolDownRule cool_down;
  };
  /// `end_leases` is called with the labeler whose place another takes.
  LabelerDesk(Ledger& ledger, const Clock& clock, SchedulerMetrics& metrics, const Rules& rules,
              std::function<void(const std::string&)> end_leases)
      : ledger_(ledger), clock_(clock), metrics_(metrics), rules_(rules), end_leases_(std::move(end_leases)) {}

  /// After a restart: everybody was heard just now, and whoever was to cool down begins to.
  void HearAll();
  /// Errors: InvalidArgument.
  Result<Registration> Register(const LabelerIdentity& identity);
  void Hear(const std::string& labeler_id);
  /// Returns: whether this process may yet call, although it is silent: no other has its name, and it was heard within
  /// kLongSilence.
  bool MayReturn(std::string_view labeler_id) const;
  /// Returns: the highest number of a call of this labeler that ever came, this one included.
  std::uint64_t NoteCall(const Labeler& labeler, std::uint64_t call);
  /// `change`: of the records that its leases in progress have done, modulo 2^64.
  void NoteProgress(const std::string& labeler_id, std::uint64_t change);
  /// Takes a sample of its rate.
  void Observe(const std::string& labeler_id);
  double RecordRate(const std::string& labeler_id) const;
  /// A lease of this labeler has ended: it may begin to cool down, or need to no more.
  void Judge(const std::string& labeler_id);
  /// Returns: for how long it is granted nothing; 0: it may be.
  std::chrono::milliseconds CoolDownLeft(const Labeler& labeler) const;
  std::size_t CountCoolingDown() const;
  /// Returns: whether it was heard in the last seconds; one that works may not be, but holds a lease.
  bool HeardLately(const Labeler& labeler) const;
  /// Drops who was not heard for `forget_after` and holds no lease: each worker of a cluster that grows and shrinks has
  /// a name of its own.
  void ForgetSilent();

 private:
  struct Known {
    MonotonicTime heard;
    std::uint64_t last_call = 0;
    std::uint64_t progress = 0;
    RateMeter rate = {};
  };
  struct CoolDown {
    std::uint32_t failures = 0;
    MonotonicTime until;
  };

  Ledger& ledger_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;
  const Rules rules_;
  const std::function<void(const std::string&)> end_leases_;
  /// By labeler; of those in the book alone.
  std::map<std::string, Known, std::less<>> known_;
  /// By name: a process that died may have been the failure.
  std::map<std::string, CoolDown> cool_downs_;
  /// Nobody is silent for long enough before.
  MonotonicTime next_look_{};
};

}  // namespace ferment::coordinator
