// SPDX-License-Identifier: Apache-2.0
#include "worker/train/feedback.h"

#include <cmath>
#include <string>

#include "worker/train/exchange/gradient_bucket.h"

namespace ferment::worker {

Result<FeedbackForm> ParseFeedbackForm(std::string_view text) {
  if (text == "off") return FeedbackForm::kOff;
  if (text == "first_order") return FeedbackForm::kFirstOrder;
  if (text == "exact") return FeedbackForm::kExact;
  if (text == "cosine") return FeedbackForm::kCosine;
  return Fail(
      InvalidArgumentError("cotrain.feedback.form is none of off, first_order, exact, cosine: " + std::string(text))
          .WithExitCode(exit_code::kBadSpec));
}

bool IsUsableFeedback(double old_loss, double new_loss, double h_raw) {
  // Comparisons with NaN fail.
  return std::abs(old_loss) <= kLargestFeedback && std::abs(new_loss) <= kLargestFeedback &&
         std::abs(h_raw) <= kLargestFeedback;
}

double Dot(const torch::Tensor& a, const torch::Tensor& b) {
  return torch::dot(a.to(torch::kFloat64), b.to(torch::kFloat64)).item<double>();
}

Result<double> ExactFeedback(double lr, const torch::Tensor& own_share, const torch::Tensor& student_gradient,
                             Collective& ranks) {
  double dot = Dot(own_share, student_gradient);
  FERMENT_RETURN_IF_ERROR(ranks.AllReduceSum(std::span<double>(&dot, 1)));
  return lr * dot;
}

Result<double> CosineFeedback(torch::Tensor& own_share, const torch::Tensor& student_gradient, Collective& ranks) {
  FERMENT_RETURN_IF_ERROR(SumOverRanks(own_share, ranks));
  const double lengths = std::sqrt(Dot(own_share, own_share)) * std::sqrt(Dot(student_gradient, student_gradient));
  return lengths == 0 ? 0.0 : Dot(own_share, student_gradient) / lengths;
}

double FeedbackBaseline::Apply(double h_raw) {
  if (!on_) return h_raw;
  value_ = 0.99 * value_ + 0.01 * h_raw;
  return h_raw - value_;
}

}  // namespace ferment::worker
