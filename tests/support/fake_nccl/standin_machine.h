// SPDX-License-Identifier: Apache-2.0
//
// A stand-in for GPUs: streams, events and memory that live on the host, under stand-ins for libcudart and libnccl.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

/// The types that the CUDA runtime's header leaves open. Work is a function that says whether it is done; work that is
/// not done keeps what is behind it waiting.
struct CUstream_st {
  std::deque<std::function<bool()>> work;
};
struct CUevent_st {
  struct Records {
    std::uint64_t asked = 0;
    std::uint64_t reached = 0;
  };
  std::shared_ptr<Records> records = std::make_shared<Records>();
};

namespace ferment::testing {

/// All devices of the process. Nothing happens on them but while somebody asks for an event or an error: then streams
/// move on, the youngest first, so that work that forgot to wait for an older stream runs too early every time.
///
/// Guarded: the functions of the stand-ins hold `mutex` while they touch anything.
class StandinMachine {
 public:
  static StandinMachine& Get();

  std::recursive_mutex mutex;
  int devices = 4;
  /// By start address.
  std::map<const std::byte*, std::size_t> memory;

  bool OnDevice(const void* data) const;
  cudaStream_t NewStream();
  void Drop(cudaStream_t stream);
  /// Null is the calling thread's device's own stream.
  CUstream_st& Of(cudaStream_t stream);
  /// Runs what can be run.
  void Advance();
  /// Of the calling thread.
  static int& CurrentDevice();

 private:
  std::vector<std::unique_ptr<CUstream_st>> streams_;  // by age
  std::map<int, cudaStream_t> own_;
};

}  // namespace ferment::testing
