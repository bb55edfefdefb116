// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_nccl/standin_machine.h"

#include <algorithm>

namespace ferment::testing {

StandinMachine& StandinMachine::Get() {
  static StandinMachine machine;
  return machine;
}

int& StandinMachine::CurrentDevice() {
  thread_local int device = 0;
  return device;
}

bool StandinMachine::OnDevice(const void* data) const {
  const auto* address = static_cast<const std::byte*>(data);
  auto after = memory.upper_bound(address);
  if (after == memory.begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return address < start + bytes;
}

cudaStream_t StandinMachine::NewStream() {
  streams_.push_back(std::make_unique<CUstream_st>());
  return streams_.back().get();
}

void StandinMachine::Drop(cudaStream_t stream) {
  std::erase_if(streams_, [&](const auto& own) { return own.get() == stream; });
}

CUstream_st& StandinMachine::Of(cudaStream_t stream) {
  if (stream != nullptr) return *stream;
  cudaStream_t& own = own_[CurrentDevice()];
  if (own == nullptr) own = NewStream();
  return *own;
}

void StandinMachine::Advance() {
  for (bool moved = true; moved;) {
    moved = false;
    for (auto stream = streams_.rbegin(); stream != streams_.rend(); ++stream) {
      while (!(*stream)->work.empty() && (*stream)->work.front()()) {
        (*stream)->work.pop_front();
        moved = true;
      }
    }
  }
}

}  // namespace ferment::testing
