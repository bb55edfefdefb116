// SPDX-License-Identifier: Apache-2.0
//
// Buffers of the collectives' contract, in whatever memory a backend takes.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

namespace ferment::testing {

/// Where the suite's buffers lie: the host, or what a backend brings.
struct ContractMemory {
  std::function<void*(std::size_t bytes)> allocate = [](std::size_t bytes) { return std::malloc(bytes); };
  std::function<void(void*)> free = [](void* data) { std::free(data); };
  std::function<void(void* to, const void* from, std::size_t bytes)> copy = [](void* to, const void* from,
                                                                               std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  };
};

/// A buffer in that memory, with the values of a vector.
template <typename T>
class ContractBuffer {
 public:
  ContractBuffer(const ContractMemory& memory, const std::vector<T>& values)
      : memory_(memory), size_(values.size()), data_(static_cast<T*>(memory.allocate(values.size() * sizeof(T)))) {
    memory_.copy(data_, values.data(), size_ * sizeof(T));
  }
  ~ContractBuffer() { memory_.free(data_); }
  ContractBuffer(const ContractBuffer&) = delete;
  ContractBuffer& operator=(const ContractBuffer&) = delete;

  std::span<T> span() { return {data_, size_}; }
  std::vector<T> Values() const {
    std::vector<T> values(size_);
    memory_.copy(values.data(), data_, size_ * sizeof(T));
    return values;
  }

 private:
  const ContractMemory& memory_;
  const std::size_t size_;
  T* const data_;
};

}  // namespace ferment::testing
