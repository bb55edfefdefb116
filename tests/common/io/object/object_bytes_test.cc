// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/object_bytes.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "common/base/random.h"
#include "tests/support/memory_object_store.h"

namespace ferment::io {
namespace {

using ferment::testing::MemoryObjectStore;

constexpr ObjectBytesOptions kSmall{.chunk_bytes = 4096, .window_bytes = 256, .cache_bytes = 16384};

std::string Noise(std::size_t size) {
  std::string text;
  RandomSequence random(1, StreamOf("noise"));
  while (text.size() < size) text += static_cast<char>(random.Below(256));
  return text;
}

class ObjectBytesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_->Put("k", text_);
    bytes_ = *OpenObjectBytes(store_, "k", kSmall);
  }
  std::string At(std::uint64_t offset, std::uint64_t count) const {
    const auto view = bytes_->View(offset, count);
    return view ? std::string(reinterpret_cast<const char*>(view->bytes.data()), view->bytes.size())
                : view.error().ToString();
  }
  std::uint64_t BytesRead() const {
    std::uint64_t sum = 0;
    for (const auto& read : store_->Reads()) sum += read.size;
    return sum;
  }

  const std::string text_ = Noise(100'000);
  const std::shared_ptr<MemoryObjectStore> store_ = std::make_shared<MemoryObjectStore>();
  std::unique_ptr<ByteSource> bytes_;
};

TEST_F(ObjectBytesTest, EveryViewIsTheObjects) {
  EXPECT_EQ(bytes_->size(), text_.size());
  RandomSequence random(2, StreamOf("views"));
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t offset = random.Below(text_.size());
    const std::uint64_t count =
        random.Below(std::min<std::uint64_t>(text_.size() - offset, i % 50 == 0 ? 20'000 : 700) + 1);
    ASSERT_EQ(At(offset, count), text_.substr(offset, count)) << offset << " " << count;
  }
  EXPECT_EQ(At(text_.size(), 0), "");
}

TEST_F(ObjectBytesTest, ReadAlongItIsFewRequestsAndEachByteOnce) {
  for (std::uint64_t at = 0; at + 100 <= text_.size(); at += 100) ASSERT_EQ(At(at, 100), text_.substr(at, 100));
  // A first window, then chunks.
  EXPECT_LE(store_->Reads().size(), 2 + text_.size() / kSmall.chunk_bytes);
  EXPECT_LE(BytesRead(), text_.size() + kSmall.window_bytes);
}

TEST_F(ObjectBytesTest, ReadHereAndThereItIsOneSmallRequestEach) {
  for (std::uint64_t at = 50'000; at >= 5'000; at -= 5'000) {
    // As a record is read: its head, its body, what comes behind.
    At(at, 8);
    At(at + 8, 150);
    At(at + 158, 4);
  }
  EXPECT_EQ(store_->Reads().size(), 10U);
  EXPECT_EQ(BytesRead(), 10 * kSmall.window_bytes);
}

TEST_F(ObjectBytesTest, LargerRecordsSoonTakeOneRequestEach) {
  for (std::uint64_t at = 90'000; at >= 10'000; at -= 10'000) {
    At(at, 8);
    At(at + 8, 1000);
    At(at + 1008, 4);
  }
  // The first of that size takes more.
  EXPECT_LE(store_->Reads().size(), 11U);
}

TEST_F(ObjectBytesTest, SeveralThreadsAlongFetchEachChunkOnce) {
  bytes_ = *OpenObjectBytes(store_, "k", {.chunk_bytes = 4096, .window_bytes = 256, .cache_bytes = 1 << 20});
  std::vector<std::jthread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      // As batches of records are read.
      for (std::uint64_t batch = 1000 * thread; batch + 1000 <= text_.size(); batch += 4000) {
        for (std::uint64_t at = batch; at < batch + 1000; at += 100) EXPECT_EQ(At(at, 100), text_.substr(at, 100));
      }
    });
  }
  threads.clear();
  std::map<std::uint64_t, int> chunks;
  for (const auto& read : store_->Reads()) {
    if (read.size > 1000) ++chunks[read.offset];
  }
  EXPECT_GT(chunks.size(), text_.size() / kSmall.chunk_bytes - 2);
  for (const auto& [offset, times] : chunks) EXPECT_EQ(times, 1) << offset;
}

TEST_F(ObjectBytesTest, AFailureReachesTheReaderAndIsNotKept) {
  store_->FailReads(UnavailableError("away"));
  EXPECT_EQ(bytes_->View(0, 10).error().code(), StatusCode::kUnavailable);
  EXPECT_EQ(bytes_->View(0, 10).error().code(), StatusCode::kUnavailable);
  store_->FailReads({});
  EXPECT_EQ(At(0, 10), text_.substr(0, 10));
}

TEST_F(ObjectBytesTest, AnObjectThatIsReplacedFailsInPlaceOfMixing) {
  EXPECT_EQ(At(0, 10), text_.substr(0, 10));
  store_->Put("k", Noise(50'000));
  EXPECT_EQ(bytes_->View(60'000, 10).error().code(), StatusCode::kFailedPrecondition);
}

TEST_F(ObjectBytesTest, AViewOutlivesItsChunk) {
  const auto first = bytes_->View(0, 100);
  for (std::uint64_t at = 0; at + 100 <= text_.size(); at += 100) At(at, 100);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(first->bytes.data()), 100), text_.substr(0, 100));
}

TEST_F(ObjectBytesTest, WhatIsNotThereCannotBeOpened) {
  EXPECT_EQ(OpenObjectBytes(store_, "none").error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ferment::io
