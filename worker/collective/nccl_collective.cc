// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/nccl_collective.h"

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <sched.h>

#include <array>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "worker/collective/nccl_module.h"
#include "worker/collective/rank_agreement.h"

namespace ferment::worker {
namespace {

using Clock = std::chrono::steady_clock;

Status FromCuda(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return Status();
  const std::string text = std::string(what) + ": " + cudaGetErrorName(code) + ": " + cudaGetErrorString(code);
  return code == cudaErrorMemoryAllocation ? ResourceExhaustedError(text) : InternalError(text);
}

/// `communicator` may be null. NCCL's complaints about its caller are bugs of ours; anything else is taken for a lost
/// peer, since NCCL cannot tell a dead process from a broken link.
Status FromNccl(ncclResult_t code, const char* what, ncclComm_t communicator) {
  if (code == ncclSuccess) return Status();
  std::string text = std::string(what) + ": " + ncclGetErrorString(code);
  const char* last = ncclGetLastError(communicator);
  if (last != nullptr && *last != '\0') text += std::string(": ") + last;
  if (code == ncclInvalidArgument || code == ncclInvalidUsage) return InternalError(text);
  return UnavailableError(text).WithExitCode(exit_code::kPeerLost);
}

/// The stream that NCCL works on, and the events that tie it to the compute stream. Made and used with the device set.
class DeviceStream {
 public:
  DeviceStream() = default;
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;
  ~DeviceStream() {
    if (ready_ != nullptr) cudaEventDestroy(ready_);
    if (done_ != nullptr) cudaEventDestroy(done_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  Status Create() {
    FERMENT_RETURN_IF_ERROR(FromCuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"));
    FERMENT_RETURN_IF_ERROR(FromCuda(cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming), "making an event"));
    return FromCuda(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "making an event");
  }
  /// What is put on this stream from now on waits for all that is on `other` now.
  Status After(cudaStream_t other) {
    FERMENT_RETURN_IF_ERROR(FromCuda(cudaEventRecord(ready_, other), "marking the compute stream"));
    return FromCuda(cudaStreamWaitEvent(stream_, ready_, 0), "waiting for the compute stream");
  }
  Status MarkEnd() { return FromCuda(cudaEventRecord(done_, stream_), "marking the end"); }
  /// Returns: whether the device has come to the last MarkEnd.
  Result<bool> Ended() {
    const cudaError_t state = cudaEventQuery(done_);
    if (state == cudaErrorNotReady) return false;
    FERMENT_RETURN_IF_ERROR(FromCuda(state, "waiting for the device"));
    return true;
  }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t ready_ = nullptr;
  cudaEvent_t done_ = nullptr;
};

/// Owns the communicator, which does not block: NCCL is asked for its state until it has one, or time is up.
class NcclCollective : public Collective {
 public:
  /// `part`: the host's collective where this one owns it, else null.
  NcclCollective(Collective& host, std::unique_ptr<Collective> part, const NcclOptions& options)
      : part_(std::move(part)), host_(host), options_(options) {}
  ~NcclCollective() override { Drop(); }

  /// Joins all ranks of the host's collective.
  Status Join() {
    ncclUniqueId id = {};
    Status prepared = CreateStream();
    if (prepared.ok() && rank() == 0) prepared = FromNccl(ncclGetUniqueId(&id), "making NCCL's unique id", nullptr);
    FERMENT_RETURN_IF_ERROR(AgreeOnStatus(host_, prepared));
    FERMENT_RETURN_IF_ERROR(host_.Broadcast(std::as_writable_bytes(std::span(&id, 1)), 0));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const auto until = Clock::now() + options_.deadline;
    const ncclResult_t begun = ncclCommInitRankConfig(&communicator_, size(), id, rank(), &config);
    return Settle(begun, communicator_, "joining NCCL's ranks", until);
  }

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }

  Status AllReduceSum(std::span<float> values) override { return Sum(values, ncclFloat32); }
  Status AllReduceSum(std::span<double> values) override { return Sum(values, ncclFloat64); }
  Status BeginSum(std::span<float> values) override { return Begin(values, ncclFloat32); }
  Status BeginSum(std::span<double> values) override { return Begin(values, ncclFloat64); }

  /// The device tells of the last sum only.
  Result<std::size_t> AdvanceSums() override {
    FERMENT_RETURN_IF_ERROR(failure_);
    if (under_way_ > 0) {
      FERMENT_ASSIGN_OR_RETURN(const bool ended, stream_.Ended());
      if (ended) under_way_ = 0;
    }
    FERMENT_ASSIGN_OR_RETURN(const std::size_t on_host, host_.AdvanceSums());
    return under_way_ + on_host;
  }

  Status AwaitSums() override {
    FERMENT_RETURN_IF_ERROR(failure_);
    if (under_way_ > 0) FERMENT_RETURN_IF_ERROR(Keep(AwaitDevice("all-reduce", Clock::now() + options_.deadline)));
    under_way_ = 0;
    return host_.AwaitSums();
  }

  Status Broadcast(std::span<std::byte> bytes, int root) override {
    FERMENT_RETURN_IF_ERROR(failure_);
    if (bytes.empty()) return Status();
    FERMENT_ASSIGN_OR_RETURN(const bool on_device, OnDevice(bytes.data()));
    if (!on_device) return host_.Broadcast(bytes, root);
    return RunOnDevice("broadcast", [&] {
      return ncclBroadcast(bytes.data(), bytes.data(), bytes.size(), ncclUint8, root, communicator_, stream_.get());
    });
  }

  Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    FERMENT_RETURN_IF_ERROR(failure_);
    FERMENT_CHECK(all.size() == mine.size() * static_cast<std::size_t>(size())) << "all=" << all.size();
    if (mine.empty()) return Status();
    FERMENT_ASSIGN_OR_RETURN(const bool on_device, OnDevice(mine.data()));
    FERMENT_ASSIGN_OR_RETURN(const bool all_on_device, OnDevice(all.data()));
    FERMENT_CHECK(on_device == all_on_device) << "both buffers of an all-gather lie in one memory";
    if (!on_device) return host_.AllGather(mine, all);
    return RunOnDevice("all-gather", [&] {
      return ncclAllGather(mine.data(), all.data(), mine.size(), ncclUint8, communicator_, stream_.get());
    });
  }

  /// Orders processes. On the devices there is nothing to order but begun sums, which AwaitSums ends.
  Status Barrier() override {
    FERMENT_RETURN_IF_ERROR(failure_);
    return host_.Barrier();
  }

  Result<std::unique_ptr<Collective>> Split(int color) override {
    FERMENT_RETURN_IF_ERROR(failure_);
    FERMENT_ASSIGN_OR_RETURN(auto host_part, host_.Split(color));
    Collective& host = *host_part;
    auto part = std::make_unique<NcclCollective>(host, std::move(host_part), options_);
    Status status = part->CreateStream();
    // All ranks split or none: one that stays away would leave the others waiting.
    FERMENT_RETURN_IF_ERROR(AgreeOnStatus(host_, status));
    const auto until = Clock::now() + options_.deadline;
    const ncclResult_t begun = ncclCommSplit(communicator_, color, rank(), &part->communicator_, nullptr);
    // NCCL 2.28 answers with success while the parent is at it. The parent knows when the part exists, and only then
    // the part when it is ready.
    status = Settle(begun == ncclSuccess ? ncclInProgress : begun, communicator_, "splitting NCCL's ranks", until);
    if (status.ok()) status = Settle(ncclInProgress, part->communicator_, "joining a part of NCCL's ranks", until);
    failure_ = status;
    if (failure_.ok()) return part;
    Drop();  // Before the part goes: until then NCCL may still write into it.
    return Fail(failure_);
  }

  void Abort(int exit_code) override {
    Drop();
    if (failure_.ok()) failure_ = UnavailableError("this rank has aborted the job").WithExitCode(exit_code::kPeerLost);
    host_.Abort(exit_code);
  }

 private:
  Status CreateStream() {
    FERMENT_RETURN_IF_ERROR(FromCuda(cudaSetDevice(options_.device), "choosing the device"));
    return stream_.Create();
  }

  static Result<bool> OnDevice(const void* data) {
    cudaPointerAttributes attributes = {};
    FERMENT_RETURN_IF_ERROR(FromCuda(cudaPointerGetAttributes(&attributes, data), "asking where a buffer lies"));
    return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  }

  template <typename T>
  Status Sum(std::span<T> values, ncclDataType_t type) {
    FERMENT_RETURN_IF_ERROR(failure_);
    if (values.empty()) return Status();
    FERMENT_ASSIGN_OR_RETURN(const bool on_device, OnDevice(values.data()));
    if (!on_device) return host_.AllReduceSum(values);
    return RunOnDevice("all-reduce", [&] {
      return ncclAllReduce(values.data(), values.data(), values.size(), type, ncclSum, communicator_, stream_.get());
    });
  }

  /// Its device's part runs beside whatever the compute stream is given from now on.
  template <typename T>
  Status Begin(std::span<T> values, ncclDataType_t type) {
    FERMENT_RETURN_IF_ERROR(failure_);
    if (values.empty()) return Status();
    FERMENT_ASSIGN_OR_RETURN(const bool on_device, OnDevice(values.data()));
    if (!on_device) return host_.BeginSum(values);
    ++under_way_;
    return Keep(PutOnDevice("all-reduce", Clock::now() + options_.deadline, [&] {
      return ncclAllReduce(values.data(), values.data(), values.size(), type, ncclSum, communicator_, stream_.get());
    }));
  }

  /// A failure is for good.
  Status Keep(Status status) {
    failure_ = std::move(status);
    if (!failure_.ok()) Drop();
    return failure_;
  }

  /// Runs what `enqueue` puts on the stream, after the compute stream's work, to its end.
  template <typename Enqueue>
  Status RunOnDevice(const char* what, const Enqueue& enqueue) {
    const auto until = Clock::now() + options_.deadline;
    FERMENT_RETURN_IF_ERROR(Keep(PutOnDevice(what, until, enqueue)));
    return Keep(AwaitDevice(what, until));
  }

  template <typename Enqueue>
  Status PutOnDevice(const char* what, Clock::time_point until, const Enqueue& enqueue) {
    FERMENT_RETURN_IF_ERROR(FromCuda(cudaSetDevice(options_.device), what));
    FERMENT_RETURN_IF_ERROR(stream_.After(static_cast<cudaStream_t>(options_.compute_stream())));
    // The work is on the stream once NCCL says that it is done with the call.
    FERMENT_RETURN_IF_ERROR(Settle(enqueue(), communicator_, what, until));
    return stream_.MarkEnd();
  }

  /// Waits for the last MarkEnd.
  Status AwaitDevice(const char* what, Clock::time_point until) {
    for (;;) {
      FERMENT_ASSIGN_OR_RETURN(const bool ended, stream_.Ended());
      if (ended) return Status();
      ncclResult_t state = ncclSuccess;
      FERMENT_RETURN_IF_ERROR(FromNccl(ncclCommGetAsyncError(communicator_, &state), what, communicator_));
      if (state != ncclInProgress) FERMENT_RETURN_IF_ERROR(FromNccl(state, what, communicator_));
      FERMENT_RETURN_IF_ERROR(YieldUntil(until, what));
    }
  }

  /// Waits until NCCL is done with a call that returned `begun`.
  Status Settle(ncclResult_t begun, ncclComm_t communicator, const char* what, Clock::time_point until) {
    ncclResult_t state = begun;
    while (state == ncclInProgress) {
      FERMENT_RETURN_IF_ERROR(FromNccl(ncclCommGetAsyncError(communicator, &state), what, communicator));
      if (state == ncclInProgress) FERMENT_RETURN_IF_ERROR(YieldUntil(until, what));
    }
    return FromNccl(state, what, communicator);
  }

  /// Gives the core away, since ranks may share cores with the threads that decode faces.
  Status YieldUntil(Clock::time_point until, const char* what) const {
    if (Clock::now() > until) {
      return DeadlineExceededError(std::string(what) + " did not end: rank=" + std::to_string(rank()) +
                                   " of=" + std::to_string(size()) + " device=" + std::to_string(options_.device) +
                                   " deadline_ms=" + std::to_string(options_.deadline.count()))
          .WithExitCode(exit_code::kHang);
    }
    sched_yield();
    return Status();
  }

  /// Ends what this rank has under way, without asking its peers: an orderly destroy waits for them, and they may be
  /// gone.
  void Drop() {
    if (communicator_ != nullptr) ncclCommAbort(std::exchange(communicator_, nullptr));
  }

  const std::unique_ptr<Collective> part_;
  Collective& host_;
  const NcclOptions options_;
  DeviceStream stream_;
  ncclComm_t communicator_ = nullptr;
  /// Sums that were begun on the device and not awaited.
  std::size_t under_way_ = 0;
  /// Why the communicator is of no use any more.
  Status failure_;
};

Result<std::vector<std::string>> ListCudaDevices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    const Status why = code == cudaSuccess ? NotFoundError("count=0") : FromCuda(code, "counting CUDA devices");
    return Fail(NotFoundError("no CUDA device can be used: " + std::string(why.message())));
  }
  std::vector<std::string> devices;
  for (int i = 0; i < count; ++i) {
    std::array<char, 32> address = {};
    FERMENT_RETURN_IF_ERROR(
        FromCuda(cudaDeviceGetPCIBusId(address.data(), static_cast<int>(address.size()), i), "naming a CUDA device"));
    devices.emplace_back(address.data());
  }
  return devices;
}

}  // namespace

Result<std::unique_ptr<Collective>> MakeNcclCollective(Collective& host, const NcclOptions& options) {
  auto collective = std::make_unique<NcclCollective>(host, nullptr, options);
  FERMENT_RETURN_IF_ERROR(collective->Join());
  return collective;
}

}  // namespace ferment::worker

extern "C" __attribute__((visibility("default"))) const ferment::worker::NcclModule kFermentNcclModule;
const ferment::worker::NcclModule kFermentNcclModule = {
    ferment::worker::kNcclModuleInterface, ferment::worker::ListCudaDevices, ferment::worker::MakeNcclCollective};
