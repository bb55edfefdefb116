// SPDX-License-Identifier: Apache-2.0
//
// What every object store must do; one suite, every backend.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/io/object/object_store.h"
#include "tests/support/memory_object_store.h"

namespace ferment::testing {

/// The parameter opens an empty bucket; nullptr where its server is not installed.
using OpenFreshBucket = std::shared_ptr<io::ObjectStore> (*)();

class ObjectStoreContract : public ::testing::TestWithParam<OpenFreshBucket> {
 protected:
  void SetUp() override {
    store_ = GetParam()();
    if (store_ == nullptr) GTEST_SKIP() << "the server of this store is not installed";
  }
  std::string TextAt(const std::string& key) {
    const auto facts = store_->Head(key);
    if (!facts) return facts.error().ToString();
    const auto bytes = store_->Read(key, 0, facts->size, facts->etag);
    return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) : bytes.error().ToString();
  }
  /// Returns: the numbers of the writers that succeeded.
  std::set<int> Race(const std::function<bool(int)>& write) {
    std::vector<char> won(8);
    std::vector<std::jthread> writers;
    for (int i = 0; i < 8; ++i) writers.emplace_back([&, i] { won[static_cast<std::size_t>(i)] = write(i) ? 1 : 0; });
    writers.clear();
    std::set<int> winners;
    for (int i = 0; i < 8; ++i)
      if (won[static_cast<std::size_t>(i)] != 0) winners.insert(i);
    return winners;
  }

  std::shared_ptr<io::ObjectStore> store_;
};

TEST_P(ObjectStoreContract, GivesBackWhatWasPutUnderAnyKey) {
  for (const char* key : {"k", "a/b/c.npz", "a b+c/\xC3\xBC~$&=%41;,!'()*.npz", "dots/../and//slashes"}) {
    ASSERT_TRUE(store_->PutIfAbsent(key, BytesOf(std::string("of ") + key)).ok()) << key;
    EXPECT_EQ(TextAt(key), std::string("of ") + key);
  }
  ASSERT_TRUE(store_->PutIfAbsent("empty", {}).ok());
  EXPECT_EQ(store_->Head("empty")->size, 0U);
}

TEST_P(ObjectStoreContract, ReadsRangesAndNothingPastTheEnd) {
  ASSERT_TRUE(store_->PutIfAbsent("k", BytesOf("0123456789")).ok());
  const auto facts = store_->Head("k");
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->size, 10U);
  EXPECT_EQ(*store_->Read("k", 3, 4, facts->etag), BytesOf("3456"));
  EXPECT_EQ(*store_->Read("k", 9, 1, ""), BytesOf("9"));
  EXPECT_EQ(store_->Read("k", 10, 1, "").error().code(), StatusCode::kOutOfRange);
}

TEST_P(ObjectStoreContract, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(store_->Head("none").error().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->Read("none", 0, 1, "").error().code(), StatusCode::kNotFound);
  EXPECT_TRUE(store_->Remove("none").ok());
}

TEST_P(ObjectStoreContract, ASecondFirstWriteChangesNothing) {
  ASSERT_TRUE(store_->PutIfAbsent("k", BytesOf("one")).ok());
  EXPECT_TRUE(store_->PutIfAbsent("k", BytesOf("one")).ok()) << "the same again";
  EXPECT_EQ(store_->PutIfAbsent("k", BytesOf("two")).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(TextAt("k"), "one");
}

TEST_P(ObjectStoreContract, AReplacementNeedsTheEtagOfWhatIsThere) {
  const auto first = store_->Replace("k", BytesOf("one"), "");
  ASSERT_TRUE(first) << first.error().ToString();
  EXPECT_EQ(store_->Replace("k", BytesOf("other"), "").error().code(), StatusCode::kFailedPrecondition);
  const auto second = store_->Replace("k", BytesOf("two"), *first);
  ASSERT_TRUE(second) << second.error().ToString();
  EXPECT_NE(*second, *first);
  EXPECT_EQ(store_->Head("k")->etag, *second);
  EXPECT_EQ(store_->Replace("k", BytesOf("late"), *first).error().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(TextAt("k"), "two");
  EXPECT_EQ(*store_->Replace("k", BytesOf("two"), *first), *second) << "its own write again";
  EXPECT_EQ(store_->Replace("none", BytesOf("late"), *first).error().code(), StatusCode::kFailedPrecondition);
}

TEST_P(ObjectStoreContract, OfWritersAtOnceOneWins) {
  for (int round = 0; round < 5; ++round) {
    const std::string key = "race-" + std::to_string(round);
    const auto first =
        Race([&](int i) { return store_->PutIfAbsent(key, BytesOf("first " + std::to_string(i))).ok(); });
    ASSERT_EQ(first.size(), 1U);
    EXPECT_EQ(TextAt(key), "first " + std::to_string(*first.begin()));
    const std::string etag = store_->Head(key)->etag;
    const auto next =
        Race([&](int i) { return store_->Replace(key, BytesOf("next " + std::to_string(i)), etag).has_value(); });
    ASSERT_EQ(next.size(), 1U);
    EXPECT_EQ(TextAt(key), "next " + std::to_string(*next.begin()));
  }
}

TEST_P(ObjectStoreContract, AReadOfAReplacedObjectFails) {
  const auto first = store_->Replace("k", BytesOf("one"), "");
  ASSERT_TRUE(first);
  ASSERT_TRUE(store_->Replace("k", BytesOf("two"), *first));
  EXPECT_EQ(store_->Read("k", 0, 3, *first).error().code(), StatusCode::kFailedPrecondition);
}

TEST_P(ObjectStoreContract, ListsWhatIsInAFolderAndTheFoldersThere) {
  for (const char* key : {"a", "p/1 +", "p/2", "p/3", "p/sub/x", "p/sub/y", "p/z/w", "q"})
    ASSERT_TRUE(store_->PutIfAbsent(key, BytesOf(key)).ok());
  std::vector<std::string> keys;
  std::set<std::string> folders;
  std::string from;
  do {
    const auto page = store_->List("p/", from);
    ASSERT_TRUE(page) << page.error().ToString();
    for (const auto& object : page->objects) {
      keys.push_back(object.key);
      EXPECT_EQ(object.size, object.key.size());
    }
    folders.insert(page->folders.begin(), page->folders.end());
    from = page->next;
  } while (!from.empty());
  EXPECT_EQ(keys, (std::vector<std::string>{"p/1 +", "p/2", "p/3"}));
  EXPECT_EQ(folders, (std::set<std::string>{"p/sub/", "p/z/"}));
  EXPECT_TRUE(store_->List("nothing/", "")->objects.empty());
}

TEST_P(ObjectStoreContract, WhatIsRemovedIsGone) {
  ASSERT_TRUE(store_->PutIfAbsent("k", BytesOf("one")).ok());
  ASSERT_TRUE(store_->Remove("k").ok());
  EXPECT_EQ(store_->Head("k").error().code(), StatusCode::kNotFound);
}

}  // namespace ferment::testing
