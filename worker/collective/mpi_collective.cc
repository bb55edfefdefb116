// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/mpi_collective.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <string>

#include "common/base/check.h"

namespace ferment::worker {
namespace {

/// MPI counts are int: longer buffers go in pieces.
constexpr std::size_t kPiece = std::size_t{1} << 28;

Status FromMpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return Status();
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return UnavailableError(std::string(what) + ": " + text).WithExitCode(exit_code::kPeerLost);
}

template <typename T>
MPI_Datatype TypeOf();
template <>
MPI_Datatype TypeOf<float>() {
  return MPI_FLOAT;
}
template <>
MPI_Datatype TypeOf<double>() {
  return MPI_DOUBLE;
}

/// Owns its communicator.
class MpiCollective : public Collective {
 public:
  MpiCollective(MPI_Comm communicator, std::chrono::milliseconds deadline)
      : communicator_(communicator), deadline_(deadline) {
    MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(communicator_, &rank_);
    MPI_Comm_size(communicator_, &size_);
  }
  ~MpiCollective() override { MPI_Comm_free(&communicator_); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Status AllReduceSum(std::span<float> values) override { return Sum(values); }
  Status AllReduceSum(std::span<double> values) override { return Sum(values); }

  Status Broadcast(std::span<std::byte> bytes, int root) override {
    for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
      const int count = static_cast<int>(std::min(kPiece, bytes.size() - at));
      MPI_Request request;
      FERMENT_RETURN_IF_ERROR(
          FromMpi(MPI_Ibcast(bytes.data() + at, count, MPI_BYTE, root, communicator_, &request), "broadcast"));
      FERMENT_RETURN_IF_ERROR(Wait(request, "broadcast"));
    }
    return Status();
  }

  Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    FERMENT_CHECK(all.size() == mine.size() * static_cast<std::size_t>(size_) && mine.size() < kPiece)
        << "all=" << all.size();
    if (mine.empty()) return Status();
    const int count = static_cast<int>(mine.size());
    MPI_Request request;
    FERMENT_RETURN_IF_ERROR(
        FromMpi(MPI_Iallgather(mine.data(), count, MPI_BYTE, all.data(), count, MPI_BYTE, communicator_, &request),
                "all-gather"));
    return Wait(request, "all-gather");
  }

  Status Barrier() override {
    MPI_Request request;
    FERMENT_RETURN_IF_ERROR(FromMpi(MPI_Ibarrier(communicator_, &request), "barrier"));
    return Wait(request, "barrier");
  }

  Result<std::unique_ptr<Collective>> Split(int color) override {
    MPI_Comm part = MPI_COMM_NULL;
    FERMENT_RETURN_IF_ERROR(FromMpi(MPI_Comm_split(communicator_, color, rank_, &part), "split"));
    return std::make_unique<MpiCollective>(part, deadline_);
  }

  void Abort(int exit_code) override { MPI_Abort(MPI_COMM_WORLD, exit_code); }

 private:
  template <typename T>
  Status Sum(std::span<T> values) {
    if (size_ == 1) return Status();
    for (std::size_t at = 0; at < values.size(); at += kPiece) {
      const int count = static_cast<int>(std::min(kPiece, values.size() - at));
      MPI_Request request;
      FERMENT_RETURN_IF_ERROR(FromMpi(
          MPI_Iallreduce(MPI_IN_PLACE, values.data() + at, count, TypeOf<T>(), MPI_SUM, communicator_, &request),
          "all-reduce"));
      FERMENT_RETURN_IF_ERROR(Wait(request, "all-reduce"));
    }
    return Status();
  }

  /// Polls, since MPI has no wait with a deadline; gives the core away between polls because ranks may share cores.
  Status Wait(MPI_Request request, const char* what) {
    const auto until = std::chrono::steady_clock::now() + deadline_;
    for (;;) {
      int done = 0;
      FERMENT_RETURN_IF_ERROR(FromMpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what));
      if (done != 0) return Status();
      if (std::chrono::steady_clock::now() > until) {
        return DeadlineExceededError(std::string(what) + " did not end: rank=" + std::to_string(rank_) + " of=" +
                                     std::to_string(size_) + " deadline_ms=" + std::to_string(deadline_.count()))
            .WithExitCode(exit_code::kHang);
      }
      sched_yield();
    }
  }

  MPI_Comm communicator_;
  const std::chrono::milliseconds deadline_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

Result<std::unique_ptr<Collective>> MakeMpiCollective(std::chrono::milliseconds deadline) {
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  if (level < MPI_THREAD_FUNNELED) {
    return Fail(FailedPreconditionError("this MPI gives no MPI_THREAD_FUNNELED: level=" + std::to_string(level)));
  }
  MPI_Comm copy = MPI_COMM_NULL;
  FERMENT_RETURN_IF_ERROR(FromMpi(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "copying MPI_COMM_WORLD"));
  return std::make_unique<MpiCollective>(copy, deadline);
}

}  // namespace ferment::worker
