// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferment {
namespace {

using ::testing::HasSubstr;

std::string FirstFault(std::string_view text) {
  const SpecTree tree = ParseSpecText(text);
  if (tree.faults.empty()) return "no fault";
  const SpecTextFault& fault = tree.faults.front();
  return std::to_string(fault.place.line) + ":" + std::to_string(fault.place.column) + ": " + fault.what;
}

std::string Repeat(std::string_view piece, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += piece;
  return text;
}

TEST(SpecText, GivesEveryKeyAndValueItsPlace) {
  const SpecTree tree = ParseSpecText("a: 1\nb:\n  - \"x\"\n  - y\n");
  ASSERT_TRUE(tree.faults.empty());
  ASSERT_EQ(tree.root->children.size(), 2U);
  const SpecChild& list = tree.root->children[1];
  EXPECT_EQ(list.key, "b");
  EXPECT_EQ(list.key_place.line, 2);
  ASSERT_EQ(list.node->children.size(), 2U);
  EXPECT_EQ(list.node->children[1].place.line, 4);
  EXPECT_EQ(list.node->children[1].place.column, 5);
  EXPECT_TRUE(list.node->children[0].node->quoted);
  EXPECT_FALSE(list.node->children[1].node->quoted);
}

TEST(SpecText, KeepsDuplicateKeys) { EXPECT_EQ(ParseSpecText("a: 1\na: 2\n").root->children.size(), 2U); }

TEST(SpecText, SharesTheNodeOfAnAlias) {
  const SpecTree tree = ParseSpecText("a: &x {k: v}\nb: *x\n");
  ASSERT_EQ(tree.root->children.size(), 2U);
  EXPECT_EQ(tree.root->children[0].node, tree.root->children[1].node);
}

TEST(SpecText, HasANullRootWhereThereIsNothing) {
  for (const std::string_view text : {"", "\n\n", "# only a comment\n", "---\n"}) {
    const SpecTree tree = ParseSpecText(text);
    EXPECT_TRUE(tree.faults.empty()) << text;
    EXPECT_EQ(tree.root->kind, SpecNode::Kind::kNull) << text;
  }
}

TEST(SpecText, RefusesWhatIsNoYamlText) {
  EXPECT_THAT(FirstFault(std::string_view("a: 1\nb: \0", 9)), HasSubstr("2:4: a control character"));
  EXPECT_THAT(FirstFault("\xff\xfe a"), HasSubstr("not UTF-8"));
  EXPECT_THAT(FirstFault("a: \xed\xa0\x80"), HasSubstr("not UTF-8"));
  EXPECT_THAT(FirstFault(Repeat("#", kMaxSpecBytes + 1)), HasSubstr("longer than 1048576 bytes"));
  EXPECT_THAT(FirstFault("a: [1"), HasSubstr("not valid YAML"));
  EXPECT_THAT(FirstFault("a: 1\n b: 2\n"), HasSubstr("2:3: not valid YAML"));
  EXPECT_THAT(FirstFault("a: *nobody"), HasSubstr("not valid YAML"));
  EXPECT_EQ(FirstFault("a: 1\n---\nb: 2\n"), "2:1: a second document; a spec is one document");
  EXPECT_EQ(FirstFault("? [a]\n: 1\n"), "1:3: a key that is not a word");
  EXPECT_EQ(FirstFault("a: &a [*a]"), "1:8: an alias inside the value that it names");
}

TEST(SpecText, ReadsNestingUpToItsLimit) {
  EXPECT_EQ(FirstFault(Repeat("[", kMaxSpecDepth) + Repeat("]", kMaxSpecDepth)), "no fault");
  EXPECT_EQ(FirstFault(Repeat("[", kMaxSpecDepth + 1) + Repeat("]", kMaxSpecDepth + 1)),
            "1:33: nested deeper than 32 levels");
  EXPECT_EQ(FirstFault(Repeat("- ", 400)), "1:65: nested deeper than 32 levels");
}

TEST(SpecText, EndsOnAnyText) {
  for (const std::string_view piece :
       {"[", "{", "]", "{a: ", "- ", "? ", ": ", "&a ", "*a ", "!", "%", "\"", "'", "|\n", ",", "a,", "\t"}) {
    EXPECT_NE(ParseSpecText(Repeat(piece, 100000)).root, nullptr) << piece;
    EXPECT_NE(ParseSpecText("[" + Repeat(piece, 100000)).root, nullptr) << piece;
  }
}

}  // namespace
}  // namespace ferment
