// SPDX-License-Identifier: Apache-2.0
//
// Runs a pickle whose only calls are those that rebuild PyTorch's tensors, and only on paper: the result is a tree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

enum class PickleKind { kNothing, kBool, kInt, kFloat, kText, kTuple, kList, kDict, kName, kStorage, kTensor };

struct PickleNode {
  PickleKind kind = PickleKind::kNothing;
  std::int64_t number = 0;
  /// A text, or a name such as "torch.FloatStorage".
  std::string text;
  /// Indices of nodes; a dict's are key, value, key, value. A tensor's are those of its rebuilding call, a storage's
  /// those of its id.
  std::vector<std::size_t> items;
};

/// Nodes refer to each other by index, so that a value may stand in many places, even in itself.
struct PickleTree {
  std::vector<PickleNode> nodes;
  std::size_t root = 0;
};

/// Errors: DataLoss with the byte, for an instruction or a name that is not on the list, and for anything cut short.
Result<PickleTree> RunPickle(std::span<const std::byte> pickle);

}  // namespace ferment::io
