// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/torch_pickle.h"

#include <algorithm>
#include <array>
#include <set>

#include "common/io/formats/pickle_machine.h"
#include "common/io/shown_name.h"

namespace ferment::io {
namespace {

constexpr std::size_t kMaxDimensions = 16;
/// Where training scripts keep the state dict beside other things.
constexpr std::array<std::string_view, 6> kWrappers = {"state_dict", "model_state_dict", "model",
                                                       "net",        "network",          "backbone"};

struct StorageType {
  std::string_view name;
  std::string_view dtype;
};
constexpr std::array<StorageType, 10> kStorages = {{{"torch.FloatStorage", "F32"},
                                                    {"torch.DoubleStorage", "F64"},
                                                    {"torch.HalfStorage", "F16"},
                                                    {"torch.BFloat16Storage", "BF16"},
                                                    {"torch.LongStorage", "I64"},
                                                    {"torch.IntStorage", "I32"},
                                                    {"torch.ShortStorage", "I16"},
                                                    {"torch.CharStorage", "I8"},
                                                    {"torch.ByteStorage", "U8"},
                                                    {"torch.BoolStorage", "BOOL"}}};

/// Reads a tree whose nodes all come from a file: every kind is asked before it is used.
class Planner {
 public:
  explicit Planner(const PickleTree& tree) : tree_(tree) {}

  Result<TorchPlan> Plan() const {
    TorchPlan plan;
    const PickleNode* dict = StateDict(plan.path);
    if (dict == nullptr) {
      return Fail(DataLossError("no state dict in the pickle: it is neither a dict of tensors nor holds one as " +
                                std::string(kWrappers[0]) + ", " + std::string(kWrappers[1]) + " or " +
                                std::string(kWrappers[2])));
    }
    std::set<std::string> names;
    for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
      const PickleNode& key = Node(dict->items[i]);
      const PickleNode& value = Node(dict->items[i + 1]);
      if (value.kind != PickleKind::kTensor) continue;
      if (key.kind != PickleKind::kText || !names.insert(key.text).second)
        return Fail(DataLossError("a tensor without a name, or a name twice: name=" + ShownName(key.text)));
      auto tensor = Tensor(value);
      if (!tensor) return Fail(tensor.error().With("tensor " + ShownName(key.text)));
      tensor->name = key.text;
      plan.tensors.push_back(*std::move(tensor));
    }
    return plan;
  }

 private:
  const PickleNode& Node(std::size_t index) const { return tree_.nodes[index]; }

  bool HoldsTensors(const PickleNode& node) const {
    if (node.kind != PickleKind::kDict) return false;
    for (std::size_t i = 1; i < node.items.size(); i += 2)
      if (Node(node.items[i]).kind == PickleKind::kTensor) return true;
    return false;
  }

  const PickleNode* StateDict(std::string& path) const {
    const PickleNode& root = Node(tree_.root);
    if (HoldsTensors(root)) return &root;
    if (root.kind != PickleKind::kDict) return nullptr;
    for (const std::string_view wrapper : kWrappers)
      for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
        const PickleNode& key = Node(root.items[i]);
        if (key.kind != PickleKind::kText || key.text != wrapper || !HoldsTensors(Node(root.items[i + 1]))) continue;
        path = wrapper;
        return &Node(root.items[i + 1]);
      }
    return nullptr;
  }

  Result<std::vector<std::int64_t>> Extents(std::size_t index) const {
    const PickleNode& node = Node(index);
    if (node.kind != PickleKind::kTuple || node.items.size() > kMaxDimensions)
      return Fail(DataLossError("its shape is no tuple of numbers"));
    std::vector<std::int64_t> extents;
    for (const std::size_t item : node.items) {
      if (Node(item).kind != PickleKind::kInt || Node(item).number < 0)
        return Fail(DataLossError("its shape is no tuple of numbers"));
      extents.push_back(Node(item).number);
    }
    return extents;
  }

  Status ReadStorage(const PickleNode& node, PlannedTensor& tensor) const {
    if (node.kind != PickleKind::kStorage) return DataLossError("it has no storage");
    const PickleNode& word = Node(node.items[0]);
    const PickleNode& type = Node(node.items[1]);
    const PickleNode& key = Node(node.items[2]);
    const PickleNode& size = Node(node.items[4]);
    const auto* found = std::find_if(kStorages.begin(), kStorages.end(),
                                     [&](const StorageType& known) { return known.name == type.text; });
    if (word.text != "storage" || type.kind != PickleKind::kName || found == kStorages.end() ||
        key.kind != PickleKind::kText || size.kind != PickleKind::kInt || size.number < 0)
      return DataLossError("its storage is not (storage, type, key, place, size): type=" + ShownName(type.text));
    tensor.dtype = found->dtype;
    tensor.storage = key.text;
    tensor.storage_size = size.number;
    return {};
  }

  Result<PlannedTensor> Tensor(const PickleNode& node) const {
    PlannedTensor tensor;
    FERMENT_RETURN_IF_ERROR(ReadStorage(Node(node.items[0]), tensor));
    const PickleNode& offset = Node(node.items[1]);
    if (offset.kind != PickleKind::kInt || offset.number < 0) return Fail(DataLossError("its offset is no number"));
    tensor.offset = offset.number;
    FERMENT_ASSIGN_OR_RETURN(tensor.shape, Extents(node.items[2]));
    FERMENT_ASSIGN_OR_RETURN(tensor.stride, Extents(node.items[3]));
    if (tensor.shape.size() != tensor.stride.size())
      return Fail(DataLossError("as many strides as extents are wanted"));
    FERMENT_RETURN_IF_ERROR(CheckInside(tensor));
    return tensor;
  }

  static Status CheckInside(const PlannedTensor& tensor) {
    if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) return {};
    std::int64_t last = tensor.offset;
    bool fits = true;
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      std::int64_t reach = 0;
      fits = fits && !__builtin_mul_overflow(tensor.shape[i] - 1, tensor.stride[i], &reach) &&
             !__builtin_add_overflow(last, reach, &last);
    }
    if (fits && last < tensor.storage_size) return {};
    return DataLossError("it reaches past its storage: storage=" + ShownName(tensor.storage) +
                         " elements=" + std::to_string(tensor.storage_size));
  }

  const PickleTree& tree_;
};

}  // namespace

Result<TorchPlan> ParseTorchPickle(std::span<const std::byte> pickle) {
  FERMENT_ASSIGN_OR_RETURN(const PickleTree tree, RunPickle(pickle));
  return Planner(tree).Plan();
}

}  // namespace ferment::io
