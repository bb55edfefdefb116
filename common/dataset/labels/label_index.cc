// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/label_index.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "common/base/json.h"
#include "common/base/logging.h"
#include "common/dataset/labels/label_files.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/errno_status.h"
#include "common/io/file_calls.h"
#include "common/io/object/s3_object_store.h"

namespace ferment::dataset {
namespace {

constexpr char kIndexName[] = "index.json";
constexpr int kTriesToCommit = 100;
/// Far more than a full disk takes to read and replace an index: who has the lock for so long was stopped, or hangs.
constexpr std::chrono::seconds kLongestWait{60};
constexpr std::chrono::milliseconds kPause{5};

std::string ShardName(std::uint64_t shard) {
  char name[32];
  std::snprintf(name, sizeof name, "%06llu", static_cast<unsigned long long>(shard));
  return name;
}

/// A line a shard, and no tree of all of them: a job may have very many.
std::string IndexText(const LabelIndex& index) {
  LabelIndexText text;
  for (const auto& [shard, entry] : index) text.Add(shard, entry);
  return text.TakeEnd();
}

std::optional<std::uint64_t> ParseShard(const std::string& name) {
  std::uint64_t shard = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), shard);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return shard;
}

Result<LabelIndex> ParseIndex(const SortedJson& json) {
  LabelIndex index;
  try {
    for (const auto& [name, entry] : json.at("shards").get_ref<const SortedJson::object_t&>()) {
      const auto shard = ParseShard(name);
      const auto file = entry.at("file").get<std::string>();
      if (!shard || file.empty() || file.find('/') != std::string::npos)
        return Fail(DataLossError("impossible shard or file: shard=" + name + " file=" + file));
      const SortedJson& counts = entry.at("counts");
      index[*shard] = {
          file,
          entry.at("sha256").get<std::string>(),
          {counts.at("read").get_ref<const std::uint64_t&>(), counts.at("labelled").get_ref<const std::uint64_t&>(),
           counts.at("abstained").get_ref<const std::uint64_t&>(),
           counts.at("quarantined").get_ref<const std::uint64_t&>()}};
    }
  } catch (const SortedJson::exception& error) {
    return Fail(
        DataLossError("not of the form {\"shards\": {NUMBER: {file, sha256, counts: {read, labelled, abstained, "
                      "quarantined}}}}, counts being whole numbers: " +
                      std::string(error.what())));
  }
  return index;
}

Result<LabelIndex> ParseIndexText(std::string_view text, const std::string& name) {
  const std::string context = "index of label sets, file=" + name;
  const auto json = ParseJson<SortedJson>(text);
  if (!json) return Fail(json.error().With(context));
  auto index = ParseIndex(*json);
  if (!index) return Fail(index.error().With(context));
  return index;
}

/// Enters a shard. Returns: whether that changes the index. Errors: AlreadyExists.
Result<bool> Enter(std::uint64_t shard, const LabelFile& file, LabelIndex& index) {
  const auto [found, fresh] = index.emplace(shard, file);
  if (fresh || found->second == file) return fresh;
  return Fail(AlreadyExistsError("shard has another committed label set: shard=" + std::to_string(shard) +
                                 " committed=" + found->second.sha256 + " offered=" + file.sha256));
}

/// Each commit would say the same.
void WarnOnceOfNoLocks(const Status& why) {
  static std::atomic<bool> warned = false;
  if (warned.exchange(true)) return;
  LogWarning("label_index.not_locked",
             {{"error", why.message()},
              {"means", "of several labelers that commit at once one may undo what another has committed"}});
}

/// Keeps others from the index from before it is read until it is replaced: an entry that they make meanwhile would be
/// lost. A killed process leaves the file, and no lock.
class IndexLock {
 public:
  static Result<IndexLock> Take(const std::filesystem::path& folder, const std::stop_token& stop) {
    const auto file = folder / kLabelIndexLock;
    const int handle = io::Uninterrupted([&] { return ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
    if (handle < 0) return Fail(io::WriteErrno(errno, "cannot open", file));
    IndexLock lock(handle);
    const auto end = std::chrono::steady_clock::now() + kLongestWait;
    while (::flock(handle, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) {
        WarnOnceOfNoLocks(io::WriteErrno(errno, "cannot lock", file));
        break;
      }
      if (stop.stop_requested()) return Fail(CancelledError("asked to stop, waiting for file=" + file.string()));
      if (std::chrono::steady_clock::now() >= end) {
        return Fail(UnavailableError("another process has kept the index of label sets to itself for " +
                                     std::to_string(kLongestWait.count()) + " s: file=" + file.string()));
      }
      std::this_thread::sleep_for(kPause);
    }
    return lock;
  }
  IndexLock(IndexLock&& other) noexcept : handle_(std::exchange(other.handle_, -1)) {}
  IndexLock& operator=(IndexLock&&) = delete;
  IndexLock(const IndexLock&) = delete;
  IndexLock& operator=(const IndexLock&) = delete;
  ~IndexLock() {
    if (handle_ >= 0) ::close(handle_);
  }

 private:
  explicit IndexLock(int handle) : handle_(handle) {}
  int handle_;
};

/// Several labelers may do so at once: whoever comes second reads again.
Result<bool> CommitToStore(const io::ObjectUrl& folder, std::uint64_t shard, const LabelFile& file,
                           const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const auto store, io::OpenObjectStore(folder, stop));
  const io::ObjectUrl place = folder.Below(kIndexName);
  Status overtaken;
  for (int i = 0; i < kTriesToCommit; ++i) {
    const auto facts = store->Head(place.key);
    if (!facts && facts.error().code() != StatusCode::kNotFound) return Fail(facts.error());
    LabelIndex index;
    if (facts) {
      if (facts->size > kMostIndexBytes) {
        return Fail(DataLossError("larger than an index can be: file=" + place.Text() + " bytes=" +
                                  std::to_string(facts->size) + " allowed=" + std::to_string(kMostIndexBytes)));
      }
      const auto bytes = store->Read(place.key, 0, facts->size, facts->etag);
      if (!bytes && bytes.error().code() == StatusCode::kFailedPrecondition) continue;
      if (!bytes) return Fail(bytes.error());
      FERMENT_ASSIGN_OR_RETURN(
          index, ParseIndexText({reinterpret_cast<const char*>(bytes->data()), bytes->size()}, place.Text()));
    }
    FERMENT_ASSIGN_OR_RETURN(const bool changed, Enter(shard, file, index));
    if (!changed) return false;
    const std::string text = IndexText(index);
    const auto etag = store->Replace(place.key, std::as_bytes(std::span(text)), facts ? facts->etag : "");
    if (etag) return true;
    overtaken = etag.error();
    if (overtaken.code() != StatusCode::kFailedPrecondition) return Fail(overtaken);
  }
  return Fail(overtaken);
}

}  // namespace

/// Put together by hand: a tree a line took most of an index's time.
void LabelIndexText::Add(std::uint64_t shard, const LabelFile& file) {
  text_ += empty_ ? "\n\"" : ",\n\"";
  empty_ = false;
  text_ += ShardName(shard) + "\": {\"file\":" + Json(file.file).dump() + ",\"sha256\":" + Json(file.sha256).dump();
  text_ += ",\"counts\":{\"read\":" + std::to_string(file.counts.read) +
           ",\"labelled\":" + std::to_string(file.counts.labelled) +
           ",\"abstained\":" + std::to_string(file.counts.abstained) +
           ",\"quarantined\":" + std::to_string(file.counts.quarantined) + "}}";
}

std::string LabelIndexText::TakeEnd() {
  text_ += "\n}}\n";
  return Take();
}

Result<LabelIndex> ReadLabelIndex(const std::filesystem::path& folder, const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder, stop));
  return ReadLabelIndex(*place);
}

Result<LabelIndex> ReadLabelIndex(LabelFiles& place) {
  const auto bytes = place.Read(kIndexName, kMostIndexBytes);
  if (!bytes && bytes.error().code() == StatusCode::kNotFound) return LabelIndex{};
  if (!bytes) return Fail(bytes.error().With("the index of label sets"));
  return ParseIndexText({reinterpret_cast<const char*>(bytes->data()), bytes->size()}, place.NameOf(kIndexName));
}

std::filesystem::path LabelIndexFile(const std::filesystem::path& folder) { return folder / kIndexName; }

Result<bool> CommitToLabelIndex(const std::filesystem::path& folder, std::uint64_t shard, const LabelFile& file,
                                const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const auto url, LabelUrlOf(folder));
  if (url) return CommitToStore(*url, shard, file, stop);
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
  FERMENT_ASSIGN_OR_RETURN(const IndexLock lock, IndexLock::Take(folder, stop));
  FERMENT_ASSIGN_OR_RETURN(LabelIndex index, ReadLabelIndex(folder));
  FERMENT_ASSIGN_OR_RETURN(const bool changed, Enter(shard, file, index));
  // Who entered it before may have been killed before the folder's sync.
  FERMENT_RETURN_IF_ERROR(changed ? io::WriteFileAtomically(LabelIndexFile(folder), IndexText(index))
                                  : io::SyncFolder(folder));
  return changed;
}

std::string LabelIndexDigest(const LabelIndex& index) {
  std::string text;
  for (const auto& [shard, entry] : index) text += ShardName(shard) + " " + entry.sha256 + "\n";
  return io::Sha256Hex(text);
}

Result<std::vector<LabelSet>> ReadLabelSets(const std::filesystem::path& folder,
                                            const std::optional<LabelOrigin>& origin) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder));
  FERMENT_ASSIGN_OR_RETURN(const LabelIndex index, ReadLabelIndex(*place));
  if (index.empty()) {
    return Fail(FailedPreconditionError("no label set is committed: folder=" + folder.string() +
                                        "; run the label phase of this teacher first")
                    .WithExitCode(exit_code::kBadData));
  }
  std::vector<LabelSet> sets;
  for (const auto& [shard, entry] : index) {
    FERMENT_ASSIGN_OR_RETURN(LabelSet set, ReadLabelSet(*place, entry));
    const std::string where = ": file=" + place->NameOf(entry.file);
    const LabelOrigin& wanted = origin ? *origin : sets.empty() ? set.origin : sets.front().origin;
    if (set.origin != wanted || set.shard != shard)
      return Fail(DataLossError("label set is of another data set, teacher, label config or shard" + where +
                                " dataset=" + set.origin.dataset + " teacher=" + set.origin.teacher +
                                " label_config=" + set.origin.label_config + " shard=" + std::to_string(set.shard)));
    if (!sets.empty() && set.classes != sets.front().classes)
      return Fail(DataLossError("label set has other classes" + where));
    if (!sets.empty() && !sets.back().key.empty() && !set.key.empty() && set.key.front() <= sets.back().key.back())
      return Fail(DataLossError("label set has keys of the shard before it" + where));
    sets.push_back(std::move(set));
  }
  return sets;
}

}  // namespace ferment::dataset
