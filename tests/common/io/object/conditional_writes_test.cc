// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/conditional_writes.h"

#include <gtest/gtest.h>

#include "tests/support/memory_object_store.h"

namespace ferment::io {
namespace {

using ferment::testing::BytesOf;
using ferment::testing::MemoryObjectStore;

const ObjectUrl kPlace{"labels", "run/index.json"};

TEST(TryConditions, LeavesNothingBehindInAStoreThatKeepsThem) {
  MemoryObjectStore store;
  EXPECT_TRUE(TryConditions(store, kPlace).ok());
  EXPECT_TRUE(store.List("", "")->objects.empty());
}

TEST(TryConditions, DoesNotTouchWhatAnotherTriesAtTheSameTime) {
  MemoryObjectStore store;
  store.Put(kPlace.key, "another's");
  EXPECT_TRUE(TryConditions(store, kPlace).ok());
  EXPECT_TRUE(store.Head(kPlace.key));
}

/// Writes whatever it is told, as servers do that do not know the headers.
class CarelessStore final : public ObjectStore {
 public:
  explicit CarelessStore(bool knows_absence) : knows_absence_(knows_absence) {}
  Result<ObjectFacts> Head(const std::string& key) override { return inner_.Head(key); }
  Result<std::vector<std::byte>> Read(const std::string& key, std::uint64_t offset, std::uint64_t size,
                                      const std::string& etag) override {
    return inner_.Read(key, offset, size, etag);
  }
  Status PutIfAbsent(const std::string& key, std::span<const std::byte> bytes) override {
    if (knows_absence_) return inner_.PutIfAbsent(key, bytes);
    FERMENT_RETURN_IF_ERROR(inner_.Remove(key));
    return inner_.PutIfAbsent(key, bytes);
  }
  Result<std::string> Replace(const std::string& key, std::span<const std::byte> bytes,
                              const std::string& /*etag*/) override {
    FERMENT_RETURN_IF_ERROR(inner_.Remove(key));
    return inner_.Replace(key, bytes, "");
  }
  Result<ObjectPage> List(const std::string& prefix, const std::string& from) override {
    return inner_.List(prefix, from);
  }
  Status Remove(const std::string& key) override { return inner_.Remove(key); }

 private:
  const bool knows_absence_;
  MemoryObjectStore inner_;
};

TEST(TryConditions, RefusesAStoreThatIgnoresOne) {
  for (const bool knows_absence : {false, true}) {
    CarelessStore store(knows_absence);
    const Status status = TryConditions(store, kPlace);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService);
    EXPECT_NE(status.message().find(knows_absence ? "If-Match" : "If-None-Match"), std::string::npos);
  }
}

class FencedObjectWriterTest : public ::testing::Test {
 protected:
  FencedObjectWriter Writer() {
    return FencedObjectWriter([this](const ObjectUrl&) -> Result<std::shared_ptr<ObjectStore>> { return store_; });
  }
  std::string Text() {
    const auto facts = store_->Head(kPlace.key);
    if (!facts) return "none";
    const auto bytes = *store_->Read(kPlace.key, 0, facts->size, "");
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  const std::shared_ptr<MemoryObjectStore> store_ = std::make_shared<MemoryObjectStore>();
  const Fence open_ = [] { return Status(); };
  const Fence closed_ = [] { return AbortedError("another leads"); };
};

TEST_F(FencedObjectWriterTest, WritesOneTextAfterTheOther) {
  FencedObjectWriter writer = Writer();
  for (const char* text : {"one", "two", "two", "three"}) {
    ASSERT_TRUE(writer.Write(kPlace, text, open_).ok());
    EXPECT_EQ(Text(), text);
  }
  EXPECT_EQ(writer.Write(kPlace, "four", closed_).code(), StatusCode::kAborted);
  EXPECT_EQ(Text(), "three");
}

TEST_F(FencedObjectWriterTest, WhoWasStoppedBehindItsFenceComesTooLate) {
  FencedObjectWriter earlier = Writer();
  FencedObjectWriter later = Writer();
  ASSERT_TRUE(earlier.Write(kPlace, "one", open_).ok());
  bool leads = true;
  // The last look at the fence succeeds; then the process stands still while another takes over.
  const Fence passed = [&] {
    if (!leads) return AbortedError("another leads");
    leads = false;
    EXPECT_TRUE(later.Write(kPlace, "of the later one", open_).ok());
    return Status();
  };
  EXPECT_EQ(earlier.Write(kPlace, "too late", passed).code(), StatusCode::kAborted);
  EXPECT_EQ(Text(), "of the later one");
}

TEST_F(FencedObjectWriterTest, ALateWriteThatComesBetweenIsOverwritten) {
  FencedObjectWriter earlier = Writer();
  FencedObjectWriter later = Writer();
  ASSERT_TRUE(earlier.Write(kPlace, "one", open_).ok());
  int looks = 0;
  // Between the later one's look at the object and its write.
  const Fence leads = [&] {
    if (++looks != 2) return Status();
    EXPECT_TRUE(earlier.Write(kPlace, "just before", open_).ok());
    return Status();
  };
  EXPECT_TRUE(later.Write(kPlace, "of the later one", leads).ok());
  EXPECT_EQ(Text(), "of the later one");
  EXPECT_EQ(earlier.Write(kPlace, "too late", closed_).code(), StatusCode::kAborted);
  EXPECT_EQ(Text(), "of the later one");
}

TEST_F(FencedObjectWriterTest, AFailureOfTheStoreIsTold) {
  FencedObjectWriter writer = FencedObjectWriter(
      [](const ObjectUrl&) -> Result<std::shared_ptr<ObjectStore>> { return Fail(PermissionDeniedError("no key")); });
  EXPECT_EQ(writer.Write(kPlace, "one", open_).code(), StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace ferment::io
