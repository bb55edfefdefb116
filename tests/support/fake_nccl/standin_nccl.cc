// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_nccl/standin_nccl.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/support/fake_nccl/standin_machine.h"

namespace {

using ferment::testing::StandinMachine;
using Lock = std::lock_guard<std::recursive_mutex>;

/// Times that NCCL says that it is still busy with a call after which it could be done.
constexpr int kBusyAnswers = 2;

enum class Verb { kAllReduce, kBroadcast, kAllGather };

/// One rank's part in one operation.
struct Part {
  Verb verb;
  const std::byte* send;
  std::byte* receive;
  std::size_t bytes;
  ncclDataType_t type;
  int root;
};

struct Operation {
  std::map<int, Part> parts;
  bool done = false;
};

/// The ranks that one communicator joins.
struct Group {
  explicit Group(int ranks) : size(ranks) {}
  const int size;
  std::set<int> joined;
  /// A rank has left: what was not done before never will be.
  bool broken = false;
  std::map<std::uint64_t, std::shared_ptr<Operation>> operations;
  struct Split {
    std::map<int, std::pair<int, int>> wishes;  // rank -> color, key
    std::map<int, std::shared_ptr<Group>> parts;
  };
  std::map<std::uint64_t, Split> splits;
};

struct Member {
  std::shared_ptr<Group> group;
  int rank = 0;
  int device = 0;
  std::uint64_t next_operation = 0;
  std::uint64_t next_split = 0;
  bool aborted = false;
  ncclResult_t error = ncclSuccess;
  /// What the last call goes on with; says whether it is done.
  std::function<bool()> busy;
};

template <typename T>
void Add(const std::map<int, Part>& parts) {
  const std::size_t count = parts.begin()->second.bytes / sizeof(T);
  std::vector<T> sum(count);
  for (const auto& [rank, part] : parts) {
    const T* values = reinterpret_cast<const T*>(part.send);
    for (std::size_t i = 0; i < count; ++i) sum[i] = rank == 0 ? values[i] : sum[i] + values[i];
  }
  for (const auto& [rank, part] : parts) std::memcpy(part.receive, sum.data(), part.bytes);
}

void Perform(const std::map<int, Part>& parts) {
  for (const auto& [rank, part] : parts) {
    if (part.verb == Verb::kBroadcast) std::memmove(part.receive, parts.at(part.root).send, part.bytes);
    if (part.verb != Verb::kAllGather) continue;
    std::size_t offset = 0;
    for (const auto& [other, from] : parts) {
      std::memmove(part.receive + offset, from.send, from.bytes);
      offset += from.bytes;
    }
  }
  if (parts.begin()->second.verb != Verb::kAllReduce) return;
  parts.begin()->second.type == ncclFloat64 ? Add<double>(parts) : Add<float>(parts);
}

bool SameCall(const std::map<int, Part>& parts) {
  const Part& first = parts.begin()->second;
  return std::all_of(parts.begin(), parts.end(), [&](const auto& entry) {
    const Part& part = entry.second;
    return std::tie(part.verb, part.bytes, part.type, part.root) ==
           std::tie(first.verb, first.bytes, first.type, first.root);
  });
}

/// Busy until `ready` holds, and for a few answers more.
std::function<bool()> BusyUntil(std::function<bool()> ready) {
  return [ready = std::move(ready), answers = kBusyAnswers]() mutable { return ready() && answers-- == 0; };
}

/// What nccl.h cannot ask for: members by device, for faults, and groups by id.
struct Registry {
  std::map<std::string, std::shared_ptr<Group>> groups;
  std::vector<std::shared_ptr<Member>> members;
  std::uint64_t next_id = 1;
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

}  // namespace

struct ncclComm {
  std::shared_ptr<Member> member;
};

namespace {

ncclComm_t NewCommunicator(const std::shared_ptr<Group>& group, int rank) {
  auto member = std::make_shared<Member>();
  member->group = group;
  member->rank = rank;
  member->device = StandinMachine::CurrentDevice();
  group->joined.insert(rank);
  member->busy = BusyUntil([group] { return static_cast<int>(group->joined.size()) == group->size; });
  TheRegistry().members.push_back(member);
  return new ncclComm{member};
}

/// The work gets to the stream when NCCL is done with the call, not before, as where it connects ranks first.
ncclResult_t Enqueue(ncclComm_t communicator, const Part& part, cudaStream_t stream) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  const auto member = communicator->member;
  if (member->busy || member->aborted) return ncclInvalidUsage;
  if (!machine.OnDevice(part.send) || !machine.OnDevice(part.receive)) return ncclInvalidArgument;
  auto& operation = member->group->operations[member->next_operation++];
  if (operation == nullptr) operation = std::make_shared<Operation>();
  const auto work = [member, part, op = operation] {
    if (member->aborted || op->done) return true;
    if (member->group->broken) return false;
    op->parts.emplace(member->rank, part);
    if (static_cast<int>(op->parts.size()) < member->group->size) return false;
    if (!SameCall(op->parts)) {
      member->error = ncclInvalidArgument;
      return false;
    }
    Perform(op->parts);
    return op->done = true;
  };
  member->busy = [stream, work, busy = BusyUntil([] { return true; })]() mutable {
    if (!busy()) return false;
    StandinMachine::Get().Of(stream).work.emplace_back(work);
    return true;
  };
  return ncclInProgress;
}

std::size_t SizeOf(ncclDataType_t type) {
  if (type == ncclFloat64) return 8;
  return type == ncclFloat32 ? 4 : 1;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const Lock lock(StandinMachine::Get().mutex);
  const std::string text = "stand-in " + std::to_string(TheRegistry().next_id++);
  *id = {};
  std::memcpy(id->internal, text.data(), text.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  const Lock lock(StandinMachine::Get().mutex);
  if (config->blocking != 0) return ncclInvalidArgument;  // A blocking call could not be left at a deadline.
  auto& group = TheRegistry().groups[id.internal];
  if (group == nullptr) group = std::make_shared<Group>(size);
  *communicator = NewCommunicator(group, rank);
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* state) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  machine.Advance();
  Member& member = *communicator->member;
  if (member.busy && member.error == ncclSuccess && member.busy()) member.busy = nullptr;
  *state = member.error != ncclSuccess ? member.error : member.busy ? ncclInProgress : ncclSuccess;
  return ncclSuccess;
}

/// As NCCL 2.28: it answers with success, yet the new communicator is there once the old one is no longer busy.
ncclResult_t ncclCommSplit(ncclComm_t communicator, int color, int key, ncclComm_t* part, ncclConfig_t*) {
  const Lock lock(StandinMachine::Get().mutex);
  const auto member = communicator->member;
  if (member->busy || member->aborted) return ncclInvalidUsage;
  const std::uint64_t number = member->next_split++;
  member->group->splits[number].wishes[member->rank] = {color, key};
  const auto all_came = [group = member->group, number] {
    return static_cast<int>(group->splits[number].wishes.size()) == group->size;
  };
  member->busy = [=, busy = BusyUntil(all_came), rank = member->rank, group = member->group]() mutable {
    if (!busy()) return false;
    auto& split = group->splits[number];
    std::vector<std::pair<int, int>> mine;  // key, rank
    for (const auto& [other, wish] : split.wishes)
      if (wish.first == color) mine.emplace_back(wish.second, other);
    std::sort(mine.begin(), mine.end());
    auto& joined = split.parts[color];
    if (joined == nullptr) joined = std::make_shared<Group>(static_cast<int>(mine.size()));
    const auto place = std::find(mine.begin(), mine.end(), std::pair(key, rank));
    *part = NewCommunicator(joined, static_cast<int>(place - mine.begin()));
    return true;
  };
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  communicator->member->aborted = true;
  communicator->member->busy = nullptr;
  communicator->member->group->broken = true;
  machine.Advance();
  std::erase(TheRegistry().members, communicator->member);
  delete communicator;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t,
                           ncclComm_t communicator, cudaStream_t stream) {
  return Enqueue(communicator,
                 {Verb::kAllReduce, static_cast<const std::byte*>(send), static_cast<std::byte*>(receive),
                  count * SizeOf(type), type, 0},
                 stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  return Enqueue(communicator,
                 {Verb::kBroadcast, static_cast<const std::byte*>(send), static_cast<std::byte*>(receive),
                  count * SizeOf(type), type, root},
                 stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclComm_t communicator, cudaStream_t stream) {
  return Enqueue(communicator,
                 {Verb::kAllGather, static_cast<const std::byte*>(send), static_cast<std::byte*>(receive),
                  count * SizeOf(type), type, 0},
                 stream);
}

const char* ncclGetErrorString(ncclResult_t error) {
  return error == ncclRemoteError ? "remote process exited" : "an error of the stand-in";
}
const char* ncclGetLastError(ncclComm_t) { return "the stand-in for NCCL says so"; }

}  // extern "C"

namespace ferment::testing {

void SetStandinDevices(int count) {
  const Lock lock(StandinMachine::Get().mutex);
  StandinMachine::Get().devices = count;
}

void RaiseStandinError(int device, ncclResult_t error) {
  const Lock lock(StandinMachine::Get().mutex);
  for (const auto& member : TheRegistry().members)
    if (member->device == device) member->error = error;
}

int OpenStandinCommunicators() {
  const Lock lock(StandinMachine::Get().mutex);
  return static_cast<int>(TheRegistry().members.size());
}

}  // namespace ferment::testing
