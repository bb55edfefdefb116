// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/mpi_collective.h"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/logging.h"
#include "worker/collective/shared_memory_sum.h"

namespace ferment::worker {
namespace {

/// MPI counts are int: longer buffers go in pieces.
constexpr std::size_t kPiece = std::size_t{1} << 28;
/// Sums of fewer bytes go by MPI, which is quicker than three turns of every rank.
constexpr std::size_t kLeastShared = std::size_t{32} << 10;
/// Looks at shared memory before a waiting rank gives its core away.
constexpr int kLooksBeforeYield = 50;

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

/// Returns: whether all ranks of the communicator run on one host.
bool OnOneHost(MPI_Comm communicator, int ranks) {
  MPI_Comm host = MPI_COMM_NULL;
  if (MPI_Comm_split_type(communicator, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host) != MPI_SUCCESS) return false;
  int on_this_host = 0;
  MPI_Comm_size(host, &on_this_host);
  MPI_Comm_free(&host);
  int least = 0;
  MPI_Allreduce(&on_this_host, &least, 1, MPI_INT, MPI_MIN, communicator);
  return least == ranks;
}

/// Every rank calls. Returns: null where ranks run on several hosts, or the host has no shared memory to give.
std::unique_ptr<SharedMemorySum> ShareMemory(MPI_Comm communicator, int rank, int ranks) {
  if (ranks == 1 || !OnOneHost(communicator, ranks)) return nullptr;
  static std::atomic<int> made = 0;
  std::array<int, 2> number = {static_cast<int>(getpid()), ++made};
  MPI_Bcast(number.data(), static_cast<int>(number.size()), MPI_INT, 0, communicator);
  const std::string name = "/ferment-" + std::to_string(number[0]) + "-" + std::to_string(number[1]);
  const std::size_t bytes = SharedMemorySum::SegmentBytes(ranks);
  std::optional<SharedSegment> segment;
  Status status;
  // Rank 0 first, and its name goes when all have come.
  for (const bool first : {true, false}) {
    if (first == (rank == 0)) {
      auto opened = first ? SharedSegment::Create(name, bytes) : SharedSegment::Open(name, bytes);
      if (opened) {
        segment.emplace(*std::move(opened));
      } else {
        status = opened.error();
      }
    }
    MPI_Barrier(communicator);
  }
  if (rank == 0 && segment) SharedSegment::Unlink(name);
  const int mine = segment ? 1 : 0;
  int all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, communicator);
  if (all == 1) return std::make_unique<SharedMemorySum>(*std::move(segment), rank, ranks);
  if (!status.ok()) LogWarning("sums_go_by_mpi", {{"why", status.message()}});
  return nullptr;
}

/// Owns its communicator.
class MpiCollective : public Collective {
 public:
  MpiCollective(MPI_Comm communicator, std::chrono::milliseconds deadline, HostMemory memory)
      : communicator_(communicator), deadline_(deadline), memory_(memory) {
    MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(communicator_, &rank_);
    MPI_Comm_size(communicator_, &size_);
    if (memory == HostMemory::kShared) shared_ = ShareMemory(communicator_, rank_, size_);
  }
  ~MpiCollective() override { MPI_Comm_free(&communicator_); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Status AllReduceSum(std::span<float> values) override { return Sum(values); }
  Status AllReduceSum(std::span<double> values) override { return Sum(values); }
  Status BeginSum(std::span<float> values) override { return Begin(values); }
  Status BeginSum(std::span<double> values) override { return Begin(values); }

  Result<std::size_t> AdvanceSums() override {
    if (shared_ != nullptr) shared_->Advance();
    while (!begun_.empty()) {
      FERMENT_ASSIGN_OR_RETURN(const bool ended, Ended(begun_.front()));
      if (!ended) break;
      begun_.pop_front();
    }
    return begun_.size();
  }

  Status AwaitSums() override {
    return WaitUntil("all-reduce", [this]() -> Result<bool> {
      FERMENT_ASSIGN_OR_RETURN(const std::size_t pending, AdvanceSums());
      return pending == 0;
    });
  }

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
    FERMENT_CHECK(all.size() == mine.size() * static_cast<std::size_t>(size_)) << "all=" << all.size();
    if (mine.empty()) return Status();
    if (all.size() > kPiece) return GatherByBroadcasts(mine, all);
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
    return std::make_unique<MpiCollective>(part, deadline_, memory_);
  }

  void Abort(int exit_code) override { MPI_Abort(MPI_COMM_WORLD, exit_code); }

 private:
  /// A sum that is under way: one of shared memory's, or requests of MPI's.
  struct Begun {
    std::uint64_t shared = 0;
    std::vector<MPI_Request> pieces{};
  };

  template <typename T>
  Status Sum(std::span<T> values) {
    if (size_ == 1) return Status();
    if (!GoesThroughMemory(values.size_bytes())) {
      // Not behind the sums that are under way.
      FERMENT_ASSIGN_OR_RETURN(Begun sum, BeginByMpi(values));
      return WaitUntil("all-reduce", [&] { return Ended(sum); });
    }
    FERMENT_RETURN_IF_ERROR(Begin(values));
    return AwaitSums();
  }

  template <typename T>
  Status Begin(std::span<T> values) {
    if (size_ == 1) return Status();
    if (GoesThroughMemory(values.size_bytes())) {
      begun_.push_back({.shared = shared_->Begin(values)});
    } else {
      FERMENT_ASSIGN_OR_RETURN(Begun sum, BeginByMpi(values));
      begun_.push_back(std::move(sum));
    }
    return Status();
  }

  /// Pieces of an all-gather would lie beside each other and not rank by rank; those of a broadcast lie where they
  /// must.
  Status GatherByBroadcasts(std::span<const std::byte> mine, std::span<std::byte> all) {
    for (int root = 0; root < size_; ++root) {
      const auto part = all.subspan(static_cast<std::size_t>(root) * mine.size(), mine.size());
      if (root == rank_) std::memcpy(part.data(), mine.data(), mine.size());
      FERMENT_RETURN_IF_ERROR(Broadcast(part, root));
    }
    return Status();
  }

  bool GoesThroughMemory(std::size_t bytes) const { return shared_ != nullptr && bytes >= kLeastShared; }

  template <typename T>
  Result<Begun> BeginByMpi(std::span<T> values) {
    Begun sum;
    for (std::size_t at = 0; at < values.size(); at += kPiece) {
      const int count = static_cast<int>(std::min(kPiece, values.size() - at));
      FERMENT_RETURN_IF_ERROR(FromMpi(MPI_Iallreduce(MPI_IN_PLACE, values.data() + at, count, TypeOf<T>(), MPI_SUM,
                                                     communicator_, &sum.pieces.emplace_back()),
                                      "all-reduce"));
    }
    return sum;
  }

  Result<bool> Ended(Begun& sum) {
    if (sum.shared > 0) return shared_->finished() >= sum.shared;
    int done = 0;
    FERMENT_RETURN_IF_ERROR(FromMpi(
        MPI_Testall(static_cast<int>(sum.pieces.size()), sum.pieces.data(), &done, MPI_STATUSES_IGNORE), "all-reduce"));
    return done != 0;
  }

  Status Wait(MPI_Request request, const char* what) {
    return WaitUntil(what, [&]() -> Result<bool> {
      int done = 0;
      FERMENT_RETURN_IF_ERROR(FromMpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what));
      return done != 0;
    });
  }

  /// Polls, since MPI has no wait with a deadline; gives the core away between polls because ranks may share cores.
  template <typename Ended>
  Status WaitUntil(const char* what, const Ended& ended) {
    const auto until = std::chrono::steady_clock::now() + deadline_;
    for (int looks = 0;; ++looks) {
      FERMENT_ASSIGN_OR_RETURN(const bool done, ended());
      if (done) return Status();
      if (looks < kLooksBeforeYield) continue;
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
  const HostMemory memory_;
  int rank_ = 0;
  int size_ = 1;
  /// Null where ranks run on several hosts.
  std::unique_ptr<SharedMemorySum> shared_;
  std::deque<Begun> begun_;
};

}  // namespace

Result<std::unique_ptr<Collective>> MakeMpiCollective(std::chrono::milliseconds deadline, HostMemory memory) {
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  if (level < MPI_THREAD_FUNNELED) {
    return Fail(FailedPreconditionError("this MPI gives no MPI_THREAD_FUNNELED: level=" + std::to_string(level)));
  }
  MPI_Comm copy = MPI_COMM_NULL;
  FERMENT_RETURN_IF_ERROR(FromMpi(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "copying MPI_COMM_WORLD"));
  return std::make_unique<MpiCollective>(copy, deadline, memory);
}

}  // namespace ferment::worker
