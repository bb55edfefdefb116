// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/support/fake_nccl/standin_machine.h"

using ferment::testing::StandinMachine;
using Lock = std::lock_guard<std::recursive_mutex>;

namespace {

/// Times that somebody asks before a host function has run: longer than NCCL is busy with a call.
constexpr int kHostFunctionTurns = 50;

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = StandinMachine::Get().devices;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= StandinMachine::Get().devices) return cudaErrorInvalidDevice;
  StandinMachine::CurrentDevice() = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  std::snprintf(text, static_cast<std::size_t>(length), "0000:%02x:00.0", device);
  return cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorInvalidDevice ? "cudaErrorInvalidDevice" : "an error of the stand-in";
}
const char* cudaGetErrorString(cudaError_t) { return "the stand-in for the CUDA runtime says so"; }

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  *data = std::malloc(bytes == 0 ? 1 : bytes);
  machine.memory[static_cast<std::byte*>(*data)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  machine.memory.erase(static_cast<std::byte*>(data));
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  const Lock lock(StandinMachine::Get().mutex);
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  *attributes = {};
  attributes->type = machine.OnDevice(data) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  *stream = machine.NewStream();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  machine.Drop(stream);
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  machine.Of(stream).work.emplace_back([=, turns = kHostFunctionTurns]() mutable {
    if (turns-- > 0) return false;
    function(argument);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  machine.Of(stream).work.emplace_back([records = event->records, number = ++event->records->asked] {
    records->reached = number;
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  machine.Of(stream).work.emplace_back(
      [records = event->records, number = event->records->asked] { return records->reached >= number; });
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  StandinMachine& machine = StandinMachine::Get();
  const Lock lock(machine.mutex);
  machine.Advance();
  return event->records->reached == event->records->asked ? cudaSuccess : cudaErrorNotReady;
}

}  // extern "C"
