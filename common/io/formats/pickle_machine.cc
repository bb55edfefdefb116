// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/pickle_machine.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "common/io/byte_cursor.h"
#include "common/io/shown_name.h"

namespace ferment::io {
namespace {

constexpr std::size_t kMaxNodes = 1'000'000;
constexpr std::size_t kStorageWords = 5;
constexpr std::size_t kTensorWordsMin = 4;
constexpr std::size_t kTensorWordsMax = 8;
constexpr std::array<std::string_view, 13> kNames = {"collections.OrderedDict",
                                                     "torch._utils._rebuild_tensor_v2",
                                                     "torch._utils._rebuild_parameter",
                                                     "torch.FloatStorage",
                                                     "torch.DoubleStorage",
                                                     "torch.HalfStorage",
                                                     "torch.BFloat16Storage",
                                                     "torch.LongStorage",
                                                     "torch.IntStorage",
                                                     "torch.ShortStorage",
                                                     "torch.CharStorage",
                                                     "torch.ByteStorage",
                                                     "torch.BoolStorage"};
constexpr std::string_view kRemedy =
    "; only plain tensors are read, and nothing is ever called: save the state dict alone, "
    "torch.save(model.state_dict(), FILE)";

class Machine {
 public:
  explicit Machine(std::span<const std::byte> pickle) : bytes_(pickle) {}

  Result<PickleTree> Run() {
    while (!stopped_) {
      at_ = bytes_.at();
      const auto code = bytes_.Number(1);
      if (!code) return Fail(Fault("cut short"));
      const Status done = Step(static_cast<unsigned char>(*code));
      if (!done.ok()) return Fail(done);
      if (nodes_.size() > kMaxNodes) return Fail(Fault("more values than a checkpoint has"));
    }
    if (stack_.size() != 1 || !marks_.empty()) return Fail(Fault("does not end in one value"));
    return PickleTree{std::move(nodes_), stack_.front()};
  }

 private:
  Status Fault(const std::string& what) const {
    return DataLossError("pickle refused: " + what + ": byte=" + std::to_string(at_));
  }

  Status Push(PickleNode node) {
    nodes_.push_back(std::move(node));
    stack_.push_back(nodes_.size() - 1);
    return {};
  }

  Status PushNumber(PickleKind kind, std::optional<std::uint64_t> value) {
    if (!value) return Fault("cut short");
    return Push({.kind = kind, .number = static_cast<std::int64_t>(*value), .text = {}, .items = {}});
  }

  Status PushItems(PickleKind kind, std::vector<std::size_t> items) {
    return Push({.kind = kind, .number = 0, .text = {}, .items = std::move(items)});
  }

  Status PushText(std::optional<std::string> text) {
    if (!text) return Fault("cut short");
    return Push({.kind = PickleKind::kText, .number = 0, .text = *std::move(text), .items = {}});
  }

  /// Returns: how many values lie above the innermost mark, or above the floor of the stack.
  std::size_t Above() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  std::optional<std::vector<std::size_t>> Take(std::size_t count) {
    if (count > Above()) return std::nullopt;
    std::vector<std::size_t> taken(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return taken;
  }

  std::optional<std::vector<std::size_t>> TakeToMark() {
    if (marks_.empty()) return std::nullopt;
    auto taken = Take(Above());
    marks_.pop_back();
    return taken;
  }

  Status PushTuple(std::optional<std::vector<std::size_t>> items) {
    return items ? PushItems(PickleKind::kTuple, *std::move(items)) : Fault("a tuple of what is not there");
  }

  Status AddTo(PickleKind kind, std::optional<std::vector<std::size_t>> items) {
    if (!items || Above() == 0 || nodes_[stack_.back()].kind != kind ||
        (kind == PickleKind::kDict && items->size() % 2))
      return Fault("values for a list or dict that is not there");
    auto& into = nodes_[stack_.back()].items;
    into.insert(into.end(), items->begin(), items->end());
    return {};
  }

  Status Remember(std::optional<std::uint64_t> place) {
    if (!place || Above() == 0) return Fault("nothing to remember");
    memo_[*place] = stack_.back();
    return {};
  }

  Status Recall(std::optional<std::uint64_t> place) {
    const auto found = place ? memo_.find(*place) : memo_.end();
    if (found == memo_.end()) return Fault("recalls what was never remembered");
    stack_.push_back(found->second);
    return {};
  }

  Status PushName(const std::optional<std::string>& module, const std::optional<std::string>& name) {
    if (!module || !name) return Fault("cut short");
    const std::string full = *module + "." + *name;
    if (std::find(kNames.begin(), kNames.end(), full) == kNames.end())
      return Fault("it asks for " + ShownName(full) + std::string(kRemedy));
    return Push({.kind = PickleKind::kName, .number = 0, .text = full, .items = {}});
  }

  Status StackName() {
    const auto words = Take(2);
    if (!words || nodes_[(*words)[0]].kind != PickleKind::kText || nodes_[(*words)[1]].kind != PickleKind::kText)
      return Fault("a name that is not text");
    return PushName(nodes_[(*words)[0]].text, nodes_[(*words)[1]].text);
  }

  Status Storage() {
    const auto id = Take(1);
    if (!id || nodes_[id->front()].kind != PickleKind::kTuple || nodes_[id->front()].items.size() != kStorageWords)
      return Fault("a storage without an id");
    return PushItems(PickleKind::kStorage, nodes_[id->front()].items);
  }

  /// The three calls a checkpoint makes; each leaves a node that says what it would have made.
  Status Call() {
    const auto words = Take(2);
    if (!words || nodes_[(*words)[0]].kind != PickleKind::kName || nodes_[(*words)[1]].kind != PickleKind::kTuple)
      return Fault("a call of what is not a name" + std::string(kRemedy));
    const std::string& name = nodes_[(*words)[0]].text;
    const std::vector<std::size_t>& given = nodes_[(*words)[1]].items;
    if (name == "collections.OrderedDict" && given.empty()) return PushItems(PickleKind::kDict, {});
    if (name == "torch._utils._rebuild_tensor_v2" && given.size() >= kTensorWordsMin && given.size() <= kTensorWordsMax)
      return PushItems(PickleKind::kTensor, given);
    if (name == "torch._utils._rebuild_parameter" && !given.empty() &&
        nodes_[given.front()].kind == PickleKind::kTensor) {
      stack_.push_back(given.front());
      return {};
    }
    return Fault("a call of " + name + " with values it does not take" + std::string(kRemedy));
  }

  /// A state dict carries its modules' versions as attributes; they are not needed.
  Status SetAttributes() {
    const auto state = Take(1);
    if (!state || Above() == 0 || nodes_[stack_.back()].kind != PickleKind::kDict ||
        nodes_[state->front()].kind != PickleKind::kDict)
      return Fault("it sets attributes of an object" + std::string(kRemedy));
    return {};
  }

  Status LongInteger() {
    const auto bytes = bytes_.Number(1);
    if (!bytes || *bytes > 8) return Fault("an integer past 64 bits");
    const auto value = bytes_.Number(*bytes);
    if (!value) return Fault("cut short");
    const std::uint64_t shift = 64 - 8 * *bytes;
    return PushNumber(
        PickleKind::kInt,
        *bytes == 0 ? 0 : static_cast<std::uint64_t>(static_cast<std::int64_t>(*value << shift) >> shift));
  }

  Status Integer32() {
    const auto value = bytes_.Number(4);
    if (!value) return Fault("cut short");
    return PushNumber(PickleKind::kInt, static_cast<std::uint64_t>(static_cast<std::int64_t>(
                                            static_cast<std::int32_t>(static_cast<std::uint32_t>(*value)))));
  }

  Status Protocol() {
    const auto version = bytes_.Number(1);
    return version && *version >= 2 && *version <= 5 ? Status() : Fault("a protocol other than 2 to 5");
  }

  /// Instructions that push a value by themselves. Returns: nothing for any other.
  std::optional<Status> Value(unsigned char code) {
    switch (code) {
      case 'N':
        return Push({});
      case 0x88:
      case 0x89:
        return PushNumber(PickleKind::kBool, code == 0x88 ? 1 : 0);
      case 'K':
        return PushNumber(PickleKind::kInt, bytes_.Number(1));
      case 'M':
        return PushNumber(PickleKind::kInt, bytes_.Number(2));
      case 'J':
        return Integer32();
      case 0x8a:
        return LongInteger();
      case 'G':
        return PushNumber(PickleKind::kFloat, bytes_.Number(8));
      case 'X':
        return PushText(bytes_.Text(bytes_.Number(4)));
      case 0x8c:
        return PushText(bytes_.Text(bytes_.Number(1)));
      case ')':
        return PushItems(PickleKind::kTuple, {});
      case ']':
        return PushItems(PickleKind::kList, {});
      case '}':
        return PushItems(PickleKind::kDict, {});
      default:
        return std::nullopt;
    }
  }

  /// Instructions that gather what lies on the stack. Returns: nothing for any other.
  std::optional<Status> Gather(unsigned char code) {
    switch (code) {
      case '(':
        marks_.push_back(stack_.size());
        return Status();
      case 0x85:
      case 0x86:
      case 0x87:
        return PushTuple(Take(code - 0x84U));
      case 't':
        return PushTuple(TakeToMark());
      case 'a':
        return AddTo(PickleKind::kList, Take(1));
      case 'e':
        return AddTo(PickleKind::kList, TakeToMark());
      case 's':
        return AddTo(PickleKind::kDict, Take(2));
      case 'u':
        return AddTo(PickleKind::kDict, TakeToMark());
      default:
        return std::nullopt;
    }
  }

  Status Step(unsigned char code) {
    if (auto done = Value(code)) return *done;
    if (auto done = Gather(code)) return *done;
    switch (code) {
      case 0x80:
        return Protocol();
      case 0x95:
        return bytes_.Number(8) ? Status() : Fault("cut short");
      case '.':
        stopped_ = true;
        return {};
      case 'q':
        return Remember(bytes_.Number(1));
      case 'r':
        return Remember(bytes_.Number(4));
      case 0x94:
        return Remember(memo_.size());
      case 'h':
        return Recall(bytes_.Number(1));
      case 'j':
        return Recall(bytes_.Number(4));
      case 'c': {
        const auto module = bytes_.Line();
        return PushName(module, bytes_.Line());
      }
      case 0x93:
        return StackName();
      case 'Q':
        return Storage();
      case 'R':
        return Call();
      case 'b':
        return SetAttributes();
      default:
        return Fault("instruction " + std::to_string(code) + " has no place in a state dict" + std::string(kRemedy));
    }
  }

  ByteCursor bytes_;
  std::size_t at_ = 0;
  bool stopped_ = false;
  std::vector<PickleNode> nodes_;
  std::vector<std::size_t> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint64_t, std::size_t> memo_;
};

}  // namespace

Result<PickleTree> RunPickle(std::span<const std::byte> pickle) { return Machine(pickle).Run(); }

}  // namespace ferment::io
