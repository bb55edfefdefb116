// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/teacher_guard.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "coordinator/core/accuracy_sequence.h"

namespace ferment::coordinator {
namespace {

std::string Number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::string ClassName(const GuardLimits& limits, std::size_t label) {
  return label < limits.classes.size() ? limits.classes[label] : std::to_string(label);
}

std::optional<TeacherVerdict::Trip> JudgeAccuracy(const CanaryCounts& canaries, double floor) {
  const AccuracySequence sequence(floor, canaries);
  if (floor <= 0 || !sequence.ShownBelowFloor()) return std::nullopt;
  return TeacherVerdict::Trip{
      TripCause::kAccuracy, "it named " + std::to_string(canaries.correct) + " of " + std::to_string(canaries.checked) +
                                " held-out labelled faces rightly: accuracy " + Number(sequence.Mean()) +
                                ", with 95 % confidence at most " + Number(sequence.UpperBound()) +
                                ", below labeling.min_accuracy=" + Number(floor)};
}

std::optional<TeacherVerdict::Trip> JudgeCollapse(const RecordCounts& records, const GuardLimits& limits) {
  const auto& histogram = records.class_histogram;
  if (histogram.size() < 2 || records.labelled < kEnoughRecords) return std::nullopt;
  const auto most = std::max_element(histogram.begin(), histogram.end());
  if (static_cast<double>(*most) <= kCollapsedShare * static_cast<double>(records.labelled)) return std::nullopt;
  return TeacherVerdict::Trip{TripCause::kCollapsed,
                              "it gave " + std::to_string(*most) + " of " + std::to_string(records.labelled) +
                                  " labels to one class, " +
                                  ClassName(limits, static_cast<std::size_t>(most - histogram.begin()))};
}

/// Returns: the share of the records that got a label; nothing where there are too few.
std::optional<double> Acceptance(const RecordCounts& records) {
  const std::uint64_t seen = records.labelled + records.abstained;
  if (seen < kEnoughRecords) return std::nullopt;
  return static_cast<double>(records.labelled) / static_cast<double>(seen);
}

std::optional<TeacherVerdict::Trip> JudgeAcceptance(const RecordCounts& records, const GuardLimits& limits) {
  const auto accepted = Acceptance(records);
  if (!accepted) return std::nullopt;
  const bool too_many = limits.max_acceptance > 0 && *accepted > limits.max_acceptance;
  if (!too_many && *accepted >= limits.min_acceptance) return std::nullopt;
  return TeacherVerdict::Trip{TripCause::kAcceptance,
                              "a share of " + Number(*accepted) + " of " +
                                  std::to_string(records.labelled + records.abstained) +
                                  " records got a label; labeling.min_acceptance=" + Number(limits.min_acceptance) +
                                  ", labeling.max_acceptance=" + Number(limits.max_acceptance)};
}

std::optional<TeacherVerdict::Trip> JudgeDrift(double drift, const GuardLimits& limits) {
  if (limits.max_drift <= 0 || drift <= limits.max_drift) return std::nullopt;
  return TeacherVerdict::Trip{TripCause::kDrift,
                              "its labels fall on the classes otherwise than the last teacher's: PSI " + Number(drift) +
                                  ", above labeling.max_drift=" + Number(limits.max_drift)};
}

void WarnOfShares(const RecordCounts& records, const GuardLimits& limits, TeacherVerdict& verdict) {
  const auto& histogram = records.class_histogram;
  if (histogram.size() < 2 || records.labelled < kEnoughRecords) return;
  const double least = kLeastOfAClass / static_cast<double>(histogram.size());
  for (std::size_t label = 0; label < histogram.size(); ++label) {
    const double share = static_cast<double>(histogram[label]) / static_cast<double>(records.labelled);
    if (share >= least && share <= kMostOfAClass) continue;
    verdict.warnings.push_back({"class_share", "of the labels, " + ClassName(limits, label) + " has a share of " +
                                                   Number(share) + "; unsuspicious: " + Number(least) + " to " +
                                                   Number(kMostOfAClass)});
  }
}

void WarnOfAcceptance(const RecordCounts& records, TeacherVerdict& verdict) {
  const auto accepted = Acceptance(records);
  if (!accepted || (*accepted >= kLeastAccepted && *accepted <= kMostAccepted)) return;
  verdict.warnings.push_back({"acceptance", "a share of " + Number(*accepted) + " of the records got a label; " +
                                                "unsuspicious: " + Number(kLeastAccepted) + " to " +
                                                Number(kMostAccepted)});
}

void WarnOfSilence(const TeacherEvidence& evidence, const GuardLimits& limits, TeacherVerdict& verdict) {
  if (limits.min_accuracy <= 0 || evidence.canaries.checked > 0 || evidence.records.read < kEnoughRecords) return;
  verdict.warnings.push_back({"unmeasured", "labeling.min_accuracy=" + Number(limits.min_accuracy) +
                                                " holds nobody: no labeler has reported a canary; are they older than "
                                                "this coordinator? records=" +
                                                std::to_string(evidence.records.read)});
}

}  // namespace

TeacherVerdict JudgeTeacher(const TeacherEvidence& evidence, const GuardLimits& limits) {
  TeacherVerdict verdict;
  if (evidence.accepted_before != nullptr) verdict.drift = LabelDrift(evidence.records, *evidence.accepted_before);
  verdict.trip = JudgeAccuracy(evidence.canaries, limits.min_accuracy);
  if (!verdict.trip) verdict.trip = JudgeCollapse(evidence.records, limits);
  if (!verdict.trip) verdict.trip = JudgeAcceptance(evidence.records, limits);
  if (!verdict.trip) verdict.trip = JudgeDrift(verdict.drift, limits);
  WarnOfShares(evidence.records, limits, verdict);
  WarnOfAcceptance(evidence.records, verdict);
  WarnOfSilence(evidence, limits, verdict);
  if (verdict.drift > kMostDrift) {
    verdict.warnings.push_back({"drift", "its labels fall on the classes otherwise than the last teacher's: PSI " +
                                             Number(verdict.drift) + ", unsuspicious: up to " + Number(kMostDrift)});
  }
  return verdict;
}

double LabelDrift(const RecordCounts& now, const RecordCounts& before) {
  const std::size_t classes = now.class_histogram.size();
  if (classes != before.class_histogram.size() || std::min(now.labelled, before.labelled) < kEnoughRecords) return 0;
  const auto share = [classes](const RecordCounts& counts, std::size_t label) {
    return (static_cast<double>(counts.class_histogram[label]) + 0.5) /
           (static_cast<double>(counts.labelled) + 0.5 * static_cast<double>(classes));
  };
  double index = 0;
  for (std::size_t label = 0; label < classes; ++label) {
    const double p = share(now, label);
    const double q = share(before, label);
    index += (p - q) * std::log(p / q);
  }
  return index;
}

}  // namespace ferment::coordinator
