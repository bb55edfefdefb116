// SPDX-License-Identifier: Apache-2.0
//
// Where everything of a run lies in its folder; the one place that knows the names (docs/formats.md has the picture).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace ferment {

/// Returns: the job's name in its run: the phase, and from the second round on "-<round>", such as "cotrain-1".
std::string JobId(std::string_view phase, std::uint32_t round = 0);

/// A value; holds paths only and touches no disk.
class RunLayout {
 public:
  explicit RunLayout(std::filesystem::path run_dir) : root_(std::move(run_dir)) {}

  const std::filesystem::path& root() const { return root_; }
  /// The spec as it is run: every default filled in, paths absolute.
  std::filesystem::path Spec() const { return root_ / "spec.yaml"; }
  std::filesystem::path Database() const { return root_ / "ferment.db"; }
  /// Rendered data sets of a spec that names none.
  std::filesystem::path SyntheticData() const { return root_ / "synthetic"; }
  /// One JSON file a live process: who, pid, start time.
  std::filesystem::path Processes() const { return root_ / "processes"; }
  /// What each phase took, written by the coordinator after each of them.
  std::filesystem::path PhaseTable() const { return root_ / "phases.json"; }
  std::filesystem::path ReportPage() const { return root_ / "report.html"; }
  std::filesystem::path ReportJson() const { return root_ / "report.json"; }

  std::filesystem::path Job(std::string_view job_id) const { return root_ / "phases" / job_id; }
  std::filesystem::path Checkpoints(std::string_view job_id) const { return Job(job_id) / "checkpoints"; }
  /// phases/<job>/models/<role>.safetensors
  std::filesystem::path Model(std::string_view job_id, std::string_view role) const;
  /// What a step read that was undone because its numbers were not finite.
  std::filesystem::path Nonfinite(std::string_view job_id, std::uint64_t step) const;
  /// Written last by a finished trainer job: models with digests, metrics, samples.
  std::filesystem::path Result(std::string_view job_id) const { return Job(job_id) / "result.json"; }
  /// Standard output and error of the job's processes.
  std::filesystem::path Log(std::string_view job_id) const;
  /// One JSON object a logged step: {"step": 10, "loss": 1.2, "h": 0.001 ...}.
  std::filesystem::path Curve(std::string_view job_id) const;

  /// labels/<dataset>/<teacher[:16]>/<label_config[:16]>, digests in hex.
  std::filesystem::path LabelSets(std::string_view dataset, std::string_view teacher,
                                  std::string_view label_config) const;
  /// features/<dataset>/<model[:16]>
  std::filesystem::path Features(std::string_view dataset, std::string_view model) const;
  std::filesystem::path Export() const { return root_ / "export"; }
  std::filesystem::path Submission() const { return root_ / "submission"; }
  std::filesystem::path Evaluation() const { return root_ / "evaluation"; }
  /// Event files, of which TensorBoard makes one run a job.
  std::filesystem::path Tensorboard(std::string_view job_id) const { return root_ / "tensorboard" / job_id; }

 private:
  std::filesystem::path root_;
};

}  // namespace ferment
