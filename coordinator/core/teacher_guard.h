// SPDX-License-Identifier: Apache-2.0
//
// Whether a teacher's labels are fit to be learned from, judged from what the committed shards of one teacher add up
// to.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/job.h"

namespace ferment::coordinator {

/// Labelled records from which on a share of them is judged at all.
inline constexpr std::uint64_t kEnoughRecords = 2000;
/// One class has all but a hundredth of the labels: nothing is left to learn from. This stops a teacher.
inline constexpr double kCollapsedShare = 0.99;

// These only warn, and are the limits of the alerts in deploy/prometheus: rare expressions are rare in any crowd, the
// threshold is the spec's, and a better teacher labels otherwise than the one before it. Whoever knows better for his
// data sets limits that stop.
inline constexpr double kMostOfAClass = 0.6;
/// Of an equal share.
inline constexpr double kLeastOfAClass = 0.2;
inline constexpr double kLeastAccepted = 0.05;
inline constexpr double kMostAccepted = 0.999;
/// Population stability index.
inline constexpr double kMostDrift = 0.2;

struct TeacherEvidence {
  CanaryCounts canaries;
  /// Of its committed shards.
  RecordCounts records;
  /// Of the last teacher whose labels were accepted; nullptr: there was none.
  const RecordCounts* accepted_before = nullptr;
};

struct GuardLimits {
  /// labeling.min_accuracy; 0: canaries stop nobody.
  double min_accuracy = 0;
  std::vector<std::string> classes;
  /// labeling.min_acceptance and max_acceptance; 0: the share of records that get a label stops nobody.
  double min_acceptance = 0;
  double max_acceptance = 0;
  /// labeling.max_drift; 0: other labels than the last teacher's stop nobody.
  double max_drift = 0;
};

struct TeacherVerdict {
  struct Trip {
    TripCause cause = TripCause::kAccuracy;
    std::string reason;
  };
  /// Stop this teacher, and why, for a person.
  std::optional<Trip> trip;
  struct Warning {
    /// class_share, acceptance, drift or unmeasured.
    std::string kind;
    std::string text;
  };
  std::vector<Warning> warnings;
  /// LabelDrift against the last accepted teacher; 0 where there was none.
  double drift = 0;
};

/// Returns: what follows from the evidence so far. Stops are safe to ask for after every shard: the accuracy by a
/// confidence sequence, a collapse by its size. Those by acceptance and drift are of what is committed at the time: a
/// limit near to what the data give may be passed by the first shards and not by all.
TeacherVerdict JudgeTeacher(const TeacherEvidence& evidence, const GuardLimits& limits);

/// Returns: the population stability index, sum (p - q) ln (p / q) over the classes, half a record added to each; 0
/// where either has fewer than kEnoughRecords labelled or they differ in classes.
double LabelDrift(const RecordCounts& now, const RecordCounts& before);

}  // namespace ferment::coordinator
