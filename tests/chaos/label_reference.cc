// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/label_reference.h"

#include <atomic>
#include <map>
#include <memory>

#include "coordinator/store/event_codec.h"
#include "labeler/work_runner.h"
#include "tests/chaos/hashing_annotator.h"

namespace ferment::chaos {
namespace {

using coordinator::ShardsPlanned;
using Digests = std::map<std::uint64_t, std::string>;

labeler::Lease LeaseOf(const ShardsPlanned& plan, std::uint64_t shard, std::shared_ptr<const RunSpec> spec,
                       const std::filesystem::path& folder) {
  const auto& range = plan.shards[shard];
  const auto& teacher = plan.work.models.at(0);
  labeler::Lease lease;
  lease.key = {plan.run_id, plan.job_id, shard, 1};
  lease.run_dir = folder;
  lease.spec = std::move(spec);
  lease.work = labeler::LabelTask{plan.work.dataset,
                                  range.first_record,
                                  range.record_count,
                                  {folder / teacher.file, teacher.digest, folder / teacher.output_dir},
                                  plan.work.label_config};
  return lease;
}

Result<Digests> Label(const ShardsPlanned& plan, const std::shared_ptr<const RunSpec>& spec,
                      const std::filesystem::path& folder) {
  labeler::WorkRunner runner(OpenHashingAnnotator(std::chrono::milliseconds(0)), 1);
  Digests digests;
  for (std::uint64_t shard = 0; shard < plan.shards.size(); ++shard) {
    std::atomic<std::uint64_t> done = 0;
    FERMENT_ASSIGN_OR_RETURN(const auto outcome, runner.Run(LeaseOf(plan, shard, spec, folder), {}, done));
    FERMENT_RETURN_IF_ERROR(outcome.failure);
    digests[shard] = outcome.result.files.at(0).sha256;
  }
  return digests;
}

class Comparison {
 public:
  Comparison(const std::filesystem::path& folder, std::vector<Breach>& breaches)
      : folder_(folder), breaches_(breaches) {}

  void operator()(const coordinator::RunSubmitted& event) {
    auto spec = std::make_shared<RunSpec>();
    if (spec->ParseFromString(event.spec)) specs_[event.run_id] = std::move(spec);
  }
  void operator()(const ShardsPlanned& event) {
    if (event.work.models.empty() || event.work.label_config.empty()) return;
    const auto labels = std::pair(event.work.models[0].digest, event.work.label_config);
    teachers_[event.run_id + "/" + event.job_id] = labels;
    if (event.shards.empty() || digests_.contains(labels)) return;
    auto made = Label(event, specs_[event.run_id], folder_);
    if (!made) return breaches_.push_back({"P11", "labels cannot be made anew: " + made.error().ToString()});
    digests_[labels] = std::move(*made);
  }
  void operator()(const coordinator::ShardCommitted& event) {
    const auto teacher = teachers_.find(event.key.run_id + "/" + event.key.job_id);
    if (teacher == teachers_.end() || event.files.empty()) return;
    const std::string& undisturbed = digests_[teacher->second][event.key.shard];
    if (undisturbed == event.files.front().sha256) return;
    breaches_.push_back({"P11", "labels differ from those that nothing disturbed: " + teacher->first +
                                    " shard=" + std::to_string(event.key.shard)});
  }
  template <typename Other>
  void operator()(const Other&) {}

 private:
  const std::filesystem::path folder_;
  std::vector<Breach>& breaches_;
  std::map<std::string, std::shared_ptr<const RunSpec>> specs_;
  std::map<std::string, std::pair<std::string, std::string>> teachers_;
  std::map<std::pair<std::string, std::string>, Digests> digests_;
};

}  // namespace

void CompareWithUndisturbedLabels(const std::vector<StoredRow>& rows, const std::filesystem::path& folder,
                                  std::vector<Breach>& breaches) {
  Comparison comparison(folder, breaches);
  for (const StoredRow& row : rows) {
    if (const auto event = coordinator::DecodeEvent(row.body)) std::visit(comparison, *event);
  }
}

}  // namespace ferment::chaos
