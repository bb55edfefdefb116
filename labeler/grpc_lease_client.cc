// SPDX-License-Identifier: Apache-2.0
#include "labeler/grpc_lease_client.h"

#include <sys/resource.h>

#include <atomic>
#include <map>
#include <utility>

#include "common/base/mutex.h"
#include "common/rpc/outage_patience.h"
#include "common/rpc/patient_call.h"
#include "ferment/v1/lease_service.grpc.pb.h"
#include "labeler/late_stop.h"

namespace ferment::labeler {
namespace {

using std::chrono::milliseconds;

std::uint64_t PeakRssBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

void FillKey(const LeaseKey& key, v1::LeaseKey& proto) {
  proto.set_run_id(key.run_id);
  proto.set_job_id(key.job_id);
  proto.set_shard(key.shard);
  proto.set_epoch(key.epoch);
}

void FillCounts(const Counts& counts, v1::RecordCounts& proto) {
  proto.set_read(counts.read);
  proto.set_labelled(counts.labelled);
  proto.set_abstained(counts.abstained);
  proto.set_quarantined(counts.quarantined);
  proto.mutable_class_histogram()->Add(counts.classes.begin(), counts.classes.end());
}

std::string RequestId(const LeaseKey& key, const char* what) {
  return std::string(what) + "/" + key.run_id + "/" + key.job_id + "/" + std::to_string(key.shard) + "/" +
         std::to_string(key.epoch);
}

Lease FromProto(const v1::Lease& proto, const v1::JobWork& work, std::shared_ptr<const RunSpec> spec) {
  Lease lease;
  lease.spec = std::move(spec);
  lease.key = {work.run_id(), work.job_id(), proto.shard(), proto.epoch()};
  lease.duration = milliseconds(proto.lease_ms());
  lease.run_dir = work.run_dir();
  if (work.has_label()) {
    const v1::LabelWork& label = work.label();
    lease.work = LabelTask{
        work.dataset(), proto.first_record(), proto.record_count(),
        Model{lease.run_dir / label.teacher_file(), label.teacher_digest(), lease.run_dir / label.output_dir()},
        label.label_config()};
    return lease;
  }
  FeatureTask task{work.dataset(), {proto.group()}, {}};
  for (const v1::FrozenModel& model : work.feature().models()) {
    task.models.push_back({lease.run_dir / model.file(), model.digest(), lease.run_dir / model.output_dir()});
  }
  lease.work = std::move(task);
  return lease;
}

using Specs = std::map<std::string, std::shared_ptr<const RunSpec>, std::less<>>;
/// Runs whose spec is kept; a labeler may live for weeks.
constexpr std::size_t kKnownSpecs = 16;

class GrpcLeaseClient final : public LeaseClient {
 public:
  GrpcLeaseClient(const std::shared_ptr<grpc::Channel>& channel, std::string address, LabelerIdentity identity,
                  std::stop_token ending)
      : stub_(v1::LeaseService::NewStub(channel)),
        address_(std::move(address)),
        identity_(std::move(identity)),
        ending_(std::move(ending)) {}

  Result<LeaseOffer> Take() override {
    if (Id().empty()) FERMENT_RETURN_IF_ERROR(Register());
    Specs known = KnownSpecs();
    auto response = CallLease(known);
    if (!response && response.error().code() == StatusCode::kNotFound) {
      FERMENT_RETURN_IF_ERROR(Register());
      known = KnownSpecs();
      response = CallLease(known);
    }
    if (!response) return Fail(response.error());
    return OfferOf(*response, known);
  }

  Result<milliseconds> Renew(const LeaseKey& key, std::uint64_t records_done) override {
    v1::RenewLeaseRequest request;
    request.set_labeler_id(Id());
    FillKey(key, *request.mutable_key());
    request.set_records_done(records_done);
    FERMENT_ASSIGN_OR_RETURN(const auto response, rpc::CallUnary(*stub_, &v1::LeaseService::Stub::RenewLease, request));
    return milliseconds(response.lease_ms());
  }

  Result<LeaseOffer> Commit(const Lease& lease, const ShardResult& result) override {
    v1::CommitShardRequest request;
    request.set_request_id(RequestId(lease.key, "commit"));
    request.set_labeler_id(Id());
    FillKey(lease.key, *request.mutable_key());
    for (const ResultFile& file : result.files) {
      v1::ResultFile* proto = request.add_files();
      proto->set_file(file.file.lexically_relative(lease.run_dir).string());
      proto->set_sha256(file.sha256);
    }
    FillCounts(result.counts, *request.mutable_counts());
    request.mutable_reasons()->insert(result.reasons.begin(), result.reasons.end());
    request.set_seconds(result.seconds);
    request.set_cpu_seconds(result.cpu_seconds);
    request.set_peak_rss_bytes(PeakRssBytes());
    request.set_canaries_checked(result.canaries.checked);
    request.set_canaries_correct(result.canaries.correct);
    if (result.plan_agreement) request.set_plan_agreement(*result.plan_agreement);
    if (!result.confidence.counts.empty()) {
      v1::Distribution& confidence = *request.mutable_confidence();
      confidence.mutable_counts()->Add(result.confidence.counts.begin(), result.confidence.counts.end());
      confidence.set_sum(result.confidence.sum);
    }
    const Specs known = KnownSpecs();
    if (!ending_.stop_requested()) *request.mutable_next() = LeaseRequest(known);
    const LateStop ending(ending_);
    FERMENT_ASSIGN_OR_RETURN(const auto response, rpc::CallUnary(*stub_, &v1::LeaseService::Stub::CommitShard, request,
                                                                 Patient(ending.token())));
    return OfferOf(response.next(), known);
  }

  Status Return(const LeaseKey& key) override {
    v1::ReturnLeaseRequest request;
    request.set_labeler_id(Id());
    FillKey(key, *request.mutable_key());
    const auto response =
        rpc::CallUnary(*stub_, &v1::LeaseService::Stub::ReturnLease, request, {.deadline = std::chrono::seconds(2)});
    return response ? Status() : response.error();
  }

  Status FailShard(const LeaseKey& key, const ShardFailure& failure) override {
    v1::FailShardRequest request;
    request.set_request_id(RequestId(key, "fail"));
    request.set_labeler_id(Id());
    FillKey(key, *request.mutable_key());
    request.set_reason(std::string(failure.status.message()));
    request.set_exit_code(ProcessExitCode(failure.status));
    request.set_permanent(failure.status.code() != StatusCode::kUnavailable &&
                          failure.status.code() != StatusCode::kResourceExhausted);
    if (failure.cause == FailureCause::kPlanRefused) request.set_cause(v1::FAILURE_CAUSE_PLAN_REFUSED);
    FillCounts(failure.counts, *request.mutable_counts());
    const auto response = rpc::CallUnary(*stub_, &v1::LeaseService::Stub::FailShard, request, Patient(ending_));
    return response ? Status() : response.error();
  }

 private:
  std::string Id() const {
    const MutexLock lock(mutex_);
    return labeler_id_;
  }

  rpc::CallOptions Patient(std::stop_token stop) const {
    return rpc::PatientCall(address_, rpc::kOutagePatience, std::move(stop));
  }

  /// Takes the name, from its holder if need be; but whoever had it once has been replaced.
  Status Register() {
    v1::RegisterLabelerRequest request;
    request.set_name(identity_.name);
    request.set_incarnation(identity_.incarnation);
    request.set_instruction_set(identity_.arithmetic);
    request.set_host(identity_.host);
    while (true) {
      FERMENT_ASSIGN_OR_RETURN(const auto response, rpc::CallUnary(*stub_, &v1::LeaseService::Stub::RegisterLabeler,
                                                                   request, Patient(ending_)));
      const MutexLock lock(mutex_);
      if (response.held_by().empty()) {
        labeler_id_ = response.labeler_id();
        // A coordinator that did not know this labeler may have another log, whose runs bear the names of earlier ones.
        specs_.clear();
        return Status();
      }
      if (!labeler_id_.empty()) {
        return AbortedError(
                   "another process has taken this labeler's name; leave, or give this one another name: "
                   "labeler=" +
                   identity_.name + " holder=" + response.held_by())
            .WithExitCode(exit_code::kFenced);
      }
      request.set_replaces(response.held_by());
    }
  }

  Specs KnownSpecs() const {
    const MutexLock lock(mutex_);
    return specs_;
  }

  Result<LeaseOffer> OfferOf(const v1::LeaseShardsResponse& response, Specs specs) {
    for (const auto& [run_id, spec] : response.specs()) specs[run_id] = std::make_shared<const RunSpec>(spec);
    LeaseOffer offer{{}, milliseconds(response.retry_after_ms()), response.idle()};
    for (const v1::Lease& lease : response.leases()) {
      const auto number = static_cast<int>(lease.work());
      if (number < 0 || number >= response.works_size()) return Fail(InternalError("a lease without its job's work"));
      const v1::JobWork& work = response.works(number);
      const auto spec = specs.find(work.run_id());
      if (spec == specs.end()) return Fail(InternalError("a lease without its run's spec: run=" + work.run_id()));
      offer.leases.push_back(FromProto(lease, work, spec->second));
    }
    if (specs.size() > kKnownSpecs) specs.clear();
    const MutexLock lock(mutex_);
    specs_ = std::move(specs);
    return offer;
  }

  v1::LeaseShardsRequest LeaseRequest(const Specs& known) {
    v1::LeaseShardsRequest request;
    request.set_labeler_id(Id());
    request.set_max_leases(1);
    request.set_call(++calls_);
    for (const auto& [run_id, spec] : known) request.add_known_runs(run_id);
    return request;
  }

  Result<v1::LeaseShardsResponse> CallLease(const Specs& known) {
    return rpc::CallUnary(*stub_, &v1::LeaseService::Stub::LeaseShards, LeaseRequest(known), Patient(ending_));
  }

  std::atomic<std::uint64_t> calls_ = 0;
  // Constant after construction; the stub synchronizes itself.
  const std::unique_ptr<v1::LeaseService::Stub> stub_;
  const std::string address_;
  const LabelerIdentity identity_;
  const std::stop_token ending_;
  // Under mutex_.
  mutable Mutex mutex_;
  std::string labeler_id_ FERMENT_GUARDED_BY(mutex_);
  Specs specs_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<LeaseClient>> MakeGrpcLeaseClient(const std::string& address,
                                                         const rpc::CredentialPaths& credentials,
                                                         const LabelerIdentity& identity, std::stop_token ending) {
  FERMENT_ASSIGN_OR_RETURN(const auto channel, rpc::OpenChannel(address, credentials));
  return std::make_unique<GrpcLeaseClient>(channel, address, identity, std::move(ending));
}

}  // namespace ferment::labeler
