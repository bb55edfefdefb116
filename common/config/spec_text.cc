// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_text.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "common/config/spec_value.h"

namespace ferment {
namespace {

SpecPlace PlaceOf(const YAML::Mark& mark) { return {.line = mark.line + 1, .column = mark.column + 1}; }

// Builds the tree from the parser's events; what lies too deep is counted and dropped.
class TreeBuilder final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) AddFault(PlaceOf(mark), "a second document; a spec is one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Add(PlaceOf(mark), anchor, SpecNode{}); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    SpecNode node{.kind = SpecNode::Kind::kScalar, .text = value, .quoted = false, .children = {}};
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    Add(PlaceOf(mark), anchor, std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (skipped_depth_ > 0) return;
    const auto target = anchors_.find(anchor);
    if (target != anchors_.end()) return Attach(PlaceOf(mark), target->second);
    AddFault(PlaceOf(mark), "an alias inside the value that it names");
    Attach(PlaceOf(mark), std::make_shared<SpecNode>());
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(PlaceOf(mark), anchor, SpecNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(PlaceOf(mark), anchor, SpecNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  void AddFault(SpecPlace place, std::string what) { tree_.faults.push_back({place, std::move(what)}); }
  int documents() const { return documents_; }

  SpecTree Finish() && {
    if (!tree_.root) tree_.root = std::make_shared<SpecNode>();
    return std::move(tree_);
  }

 private:
  struct OpenNode {
    std::shared_ptr<SpecNode> node;
    SpecPlace place;
    YAML::anchor_t anchor;
    // The key whose value comes next, in a map.
    std::optional<SpecChild> pending;
  };

  void Add(SpecPlace place, YAML::anchor_t anchor, SpecNode value) {
    if (skipped_depth_ > 0) return;
    auto node = std::make_shared<SpecNode>(std::move(value));
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    Attach(place, std::move(node));
  }

  void Open(SpecPlace place, YAML::anchor_t anchor, SpecNode::Kind kind) {
    if (skipped_depth_ > 0 || open_.size() >= kMaxSpecDepth) {
      if (skipped_depth_++ == 0 && !too_deep_) {
        AddFault(place, "nested deeper than " + std::to_string(kMaxSpecDepth) + " levels");
        too_deep_ = true;
      }
      return;
    }
    auto node = std::make_shared<SpecNode>();
    node->kind = kind;
    open_.push_back({std::move(node), place, anchor, std::nullopt});
  }

  void Close() {
    if (skipped_depth_ > 0) {
      if (--skipped_depth_ == 0) Attach({}, std::make_shared<SpecNode>());
      return;
    }
    OpenNode done = std::move(open_.back());
    open_.pop_back();
    if (done.anchor != YAML::NullAnchor) anchors_[done.anchor] = done.node;
    Attach(done.place, std::move(done.node));
  }

  void Attach(SpecPlace place, std::shared_ptr<const SpecNode> node) {
    if (open_.empty()) {
      if (documents_ > 1) return;
      tree_.root = std::move(node);
      tree_.place = place;
      return;
    }
    OpenNode& parent = open_.back();
    if (parent.node->kind == SpecNode::Kind::kList) {
      parent.node->children.push_back({"", place, place, std::move(node)});
    } else if (parent.pending) {
      SpecChild child = *std::exchange(parent.pending, std::nullopt);
      child.place = place;
      child.node = std::move(node);
      if (!child.key.empty()) parent.node->children.push_back(std::move(child));
    } else {
      if (node->text.empty()) AddFault(place, "a key that is not a word");
      parent.pending = SpecChild{node->text, place, place, nullptr};
    }
  }

  SpecTree tree_;
  std::vector<OpenNode> open_;
  std::map<YAML::anchor_t, std::shared_ptr<const SpecNode>> anchors_;
  std::size_t skipped_depth_ = 0;
  bool too_deep_ = false;
  int documents_ = 0;
};

// yaml-cpp guesses encodings and takes any byte for text, so this is asked first.
std::optional<SpecTextFault> UnreadableAsText(std::string_view text) {
  if (text.size() > kMaxSpecBytes) {
    return SpecTextFault{{}, "longer than " + std::to_string(kMaxSpecBytes) + " bytes; a spec is a small file"};
  }
  SpecPlace place;
  for (const char c : text) {
    if (c == '\n') {
      ++place.line;
      place.column = 1;
      continue;
    }
    const bool control = (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r') || c == 0x7f;
    if (control) return SpecTextFault{place, "a control character; this is not a YAML text"};
    ++place.column;
  }
  if (!IsUtf8(text)) return SpecTextFault{{}, "not UTF-8; this is not a YAML text"};
  return std::nullopt;
}

}  // namespace

SpecTree ParseSpecText(std::string_view text) {
  TreeBuilder builder;
  if (std::optional<SpecTextFault> fault = UnreadableAsText(text)) {
    builder.AddFault(fault->place, std::move(fault->what));
    return std::move(builder).Finish();
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (builder.documents() < 2 && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    builder.AddFault(PlaceOf(error.mark), "not valid YAML: " + error.msg);
  }
  return std::move(builder).Finish();
}

}  // namespace ferment
