// SPDX-License-Identifier: Apache-2.0
//
// The feedback coefficient h: how much the student's step on pseudo-labels helped it on labelled faces.
#pragma once

#include <torch/types.h>

#include <string_view>

#include "common/base/result.h"
#include "worker/collective/collective.h"

namespace ferment::worker {

enum class FeedbackForm { kOff, kFirstOrder, kExact, kCosine };

/// Errors: InvalidArgument.
Result<FeedbackForm> ParseFeedbackForm(std::string_view text);

/// L_old, L_new and h_raw past this count as not finite where h reaches the teacher: a loss of so many nats comes from
/// a student that no step brings back, and an h of that size would take the teacher with it.
inline constexpr double kLargestFeedback = 1e4;
/// Returns: whether all are numbers no larger than that.
bool IsUsableFeedback(double old_loss, double new_loss, double h_raw);

/// Returns: <a, b> of two flat buffers, in double.
double Dot(const torch::Tensor& a, const torch::Tensor& b);

/// The exact form: `own_share` is this rank's part of the gradient of L_new, `student_gradient` the student's gradient
/// on pseudo-labels summed over ranks. By linearity each rank dots its share and one number is summed. Returns: lr *
/// <g_l, g_u>, the same on all ranks.
Result<double> ExactFeedback(double lr, const torch::Tensor& own_share, const torch::Tensor& student_gradient,
                             Collective& ranks);

/// The cosine form; sums `own_share` over ranks in place. Returns: <g_l, g_u> / (|g_l| |g_u|), 0 if either is 0, NaN if
/// either is not finite.
Result<double> CosineFeedback(torch::Tensor& own_share, const torch::Tensor& student_gradient, Collective& ranks);

/// The moving average that is taken off h, b <- 0.99 b + 0.01 h_raw. A value.
class FeedbackBaseline {
 public:
  explicit FeedbackBaseline(bool on) : on_(on) {}
  /// Returns: h = h_raw - b with the new b; h_raw where the baseline is off.
  double Apply(double h_raw);
  double value() const { return value_; }
  void set_value(double value) { value_ = value; }

 private:
  bool on_;
  double value_ = 0;
};

}  // namespace ferment::worker
