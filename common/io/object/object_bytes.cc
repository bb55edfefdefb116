// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/object_bytes.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/base/mutex.h"

namespace ferment::io {
namespace {

using Bytes = std::shared_ptr<const std::vector<std::byte>>;

/// So many windows are looked at for one that a read goes on from.
constexpr std::size_t kRememberedWindows = 32;
/// A record's view is followed by a look at what comes behind it.
constexpr std::uint64_t kBehindARecord = 64;
constexpr std::uint64_t kWidestWindow = 1 << 20;

/// Synchronizes itself.
class ObjectBytes final : public ByteSource {
 public:
  ObjectBytes(std::shared_ptr<ObjectStore> store, std::string key, ObjectFacts facts, const ObjectBytesOptions& options)
      : store_(std::move(store)),
        key_(std::move(key)),
        facts_(std::move(facts)),
        options_(options),
        window_bytes_(options.window_bytes),
        ahead_([this](const std::stop_token& stop) { ReadAhead(stop); }) {}

  std::uint64_t size() const override { return facts_.size; }

  Result<ByteView> View(std::uint64_t offset, std::uint64_t count) const override {
    if (count == 0) return ByteView{};
    std::optional<std::uint64_t> window;
    {
      const MutexLock lock(mutex_);
      if (const auto found = FindPiece(offset, count)) return *found;
      if (!GoesAlong(offset, count)) window = WindowFor(offset, count);
    }
    if (window) return FetchWindow(offset, count, *window);
    return FromChunks(offset, count);
  }

 private:
  struct Piece {
    Bytes bytes;
    std::uint64_t used = 0;
    bool is_chunk = false;
  };

  std::uint64_t ChunkOf(std::uint64_t offset) const { return offset / options_.chunk_bytes; }

  /// Returns: the view, where one piece holds all of it.
  std::optional<ByteView> FindPiece(std::uint64_t offset, std::uint64_t count) const FERMENT_REQUIRES(mutex_) {
    // A chunk may begin before a window that lies within it.
    for (const std::uint64_t begin : {ChunkOf(offset) * options_.chunk_bytes, offset}) {
      auto at = pieces_.upper_bound(begin);
      if (at == pieces_.begin()) continue;
      --at;
      Piece& piece = at->second;
      if (offset + count > at->first + piece.bytes->size()) continue;
      piece.used = ++uses_;
      if (piece.is_chunk) PlanAhead(offset);
      return ByteView{std::span(*piece.bytes).subspan(offset - at->first, count), piece.bytes};
    }
    return std::nullopt;
  }

  /// Whether a read continues what was read before: where a window ends, or out of a chunk.
  bool GoesAlong(std::uint64_t offset, std::uint64_t count) const FERMENT_REQUIRES(mutex_) {
    if (count > options_.chunk_bytes) return false;
    if (loading_.contains(ChunkOf(offset))) return true;
    const auto before = [this](std::uint64_t chunk) FERMENT_REQUIRES(mutex_) {
      const auto at = pieces_.find(chunk * options_.chunk_bytes);
      return at != pieces_.end() && at->second.is_chunk;
    };
    const std::uint64_t chunk = ChunkOf(offset);
    if (before(chunk) || (chunk > 0 && before(chunk - 1) && offset % options_.chunk_bytes < window_bytes_)) return true;
    // One that is wider than a window is the rest of a record whose head a window has.
    if (count > window_bytes_) return false;
    return std::any_of(windows_.begin(), windows_.end(),
                       [offset](const auto& window) { return offset >= window.first && offset <= window.second; });
  }

  /// Returns: how much to ask for.
  std::uint64_t WindowFor(std::uint64_t offset, std::uint64_t count) const FERMENT_REQUIRES(mutex_) {
    window_bytes_ = std::max(window_bytes_, std::min(2 * count, kWidestWindow));
    const std::uint64_t wanted = std::min(std::max(window_bytes_, count + kBehindARecord), facts_.size - offset);
    windows_.emplace_back(offset, offset + wanted);
    if (windows_.size() > kRememberedWindows) windows_.pop_front();
    return wanted;
  }

  Result<ByteView> FetchWindow(std::uint64_t offset, std::uint64_t count, std::uint64_t wanted) const {
    FERMENT_ASSIGN_OR_RETURN(auto bytes, store_->Read(key_, offset, wanted, facts_.etag));
    auto kept = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    const MutexLock lock(mutex_);
    if (wanted <= options_.chunk_bytes) Keep(offset, {kept, ++uses_, false});
    return ByteView{std::span(*kept).first(count), kept};
  }

  Result<ByteView> FromChunks(std::uint64_t offset, std::uint64_t count) const {
    FERMENT_ASSIGN_OR_RETURN(const Bytes first, Chunk(ChunkOf(offset)));
    const std::uint64_t within = offset % options_.chunk_bytes;
    if (within + count <= first->size()) return ByteView{std::span(*first).subspan(within, count), first};
    // Over a boundary: put together.
    std::vector<std::byte> joined(first->begin() + static_cast<std::ptrdiff_t>(within), first->end());
    while (joined.size() < count) {
      FERMENT_ASSIGN_OR_RETURN(const Bytes next, Chunk(ChunkOf(offset + joined.size())));
      const std::uint64_t part = std::min<std::uint64_t>(next->size(), count - joined.size());
      joined.insert(joined.end(), next->begin(), next->begin() + static_cast<std::ptrdiff_t>(part));
    }
    const auto kept = std::make_shared<const std::vector<std::byte>>(std::move(joined));
    return ByteView{*kept, kept};
  }

  /// Returns: the chunk, fetched by one thread for all that want it; `ahead` nothing where a reader was here first,
  /// which may be done with it by now.
  Result<Bytes> Chunk(std::uint64_t chunk, bool ahead = false) const {
    const std::uint64_t begin = chunk * options_.chunk_bytes;
    {
      const MutexLock lock(mutex_);
      // Whoever fetches it gives up after a time.
      changed_.wait(mutex_, [&]() FERMENT_REQUIRES(mutex_) { return !loading_.contains(chunk); });
      if (ahead && wanted_ahead_ != chunk) return Bytes();
      if (wanted_ahead_ == chunk) wanted_ahead_.reset();
      const auto at = pieces_.find(begin);
      if (at != pieces_.end() && at->second.is_chunk) {
        at->second.used = ++uses_;
        return at->second.bytes;
      }
      loading_.insert(chunk);
    }
    auto bytes = store_->Read(key_, begin, std::min(options_.chunk_bytes, facts_.size - begin), facts_.etag);
    const MutexLock lock(mutex_);
    loading_.erase(chunk);
    changed_.notify_all();
    if (!bytes) return Fail(bytes.error());
    const auto kept = std::make_shared<const std::vector<std::byte>>(*std::move(bytes));
    Keep(begin, {kept, ++uses_, true});
    return kept;
  }

  void Keep(std::uint64_t begin, Piece piece) const FERMENT_REQUIRES(mutex_) {
    Piece& place = pieces_[begin];
    if (place.bytes != nullptr) {
      if (place.is_chunk && !piece.is_chunk) return;
      kept_bytes_ -= place.bytes->size();
    }
    kept_bytes_ += piece.bytes->size();
    place = std::move(piece);
    while (kept_bytes_ > options_.cache_bytes && pieces_.size() > 1) {
      const auto oldest = std::min_element(pieces_.begin(), pieces_.end(),
                                           [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
      kept_bytes_ -= oldest->second.bytes->size();
      pieces_.erase(oldest);
    }
  }

  void PlanAhead(std::uint64_t offset) const FERMENT_REQUIRES(mutex_) {
    const std::uint64_t next = ChunkOf(offset) + 1;
    if (offset % options_.chunk_bytes < options_.chunk_bytes / 2 || next * options_.chunk_bytes >= facts_.size) return;
    if (wanted_ahead_ == next || loading_.contains(next) || pieces_.contains(next * options_.chunk_bytes)) return;
    wanted_ahead_ = next;
    changed_.notify_all();
  }

  void ReadAhead(const std::stop_token& stop) const {
    while (true) {
      std::uint64_t chunk = 0;
      {
        const MutexLock lock(mutex_);
        const auto wanted = [this]() FERMENT_REQUIRES(mutex_) { return wanted_ahead_.has_value(); };
        if (!changed_.wait(mutex_, stop, wanted)) return;
        chunk = *wanted_ahead_;
      }
      // A failure is found again by whoever needs the chunk.
      static_cast<void>(Chunk(chunk, /*ahead=*/true));
    }
  }

  // Constant after construction.
  const std::shared_ptr<ObjectStore> store_;
  const std::string key_;
  const ObjectFacts facts_;
  const ObjectBytesOptions options_;
  // Under mutex_.
  mutable Mutex mutex_;
  mutable CondVar changed_;
  /// By where they begin.
  mutable std::map<std::uint64_t, Piece> pieces_ FERMENT_GUARDED_BY(mutex_);
  mutable std::uint64_t kept_bytes_ FERMENT_GUARDED_BY(mutex_) = 0;
  mutable std::uint64_t uses_ FERMENT_GUARDED_BY(mutex_) = 0;
  mutable std::uint64_t window_bytes_ FERMENT_GUARDED_BY(mutex_);
  mutable std::deque<std::pair<std::uint64_t, std::uint64_t>> windows_ FERMENT_GUARDED_BY(mutex_);
  mutable std::set<std::uint64_t> loading_ FERMENT_GUARDED_BY(mutex_);
  mutable std::optional<std::uint64_t> wanted_ahead_ FERMENT_GUARDED_BY(mutex_);
  // Last, so that it ends before the rest goes.
  std::jthread ahead_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> OpenObjectBytes(std::shared_ptr<ObjectStore> store, const std::string& key,
                                                    const ObjectBytesOptions& options) {
  FERMENT_ASSIGN_OR_RETURN(ObjectFacts facts, store->Head(key));
  return std::make_unique<ObjectBytes>(std::move(store), key, std::move(facts), options);
}

}  // namespace ferment::io
