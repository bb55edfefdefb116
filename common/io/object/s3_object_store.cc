// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_object_store.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <utility>

#include "common/base/backoff.h"
#include "common/base/mutex.h"
#include "common/io/checksum.h"
#include "common/io/object/http_client.h"
#include "common/io/object/s3_answer.h"

namespace ferment::io {
namespace {

constexpr std::uint64_t kMaxListBytes = 8 << 20;

struct Call {
  std::string method;
  std::string key = {};
  std::vector<std::pair<std::string, std::string>> query = {};
  std::map<std::string, std::string> headers = {};
  std::span<const std::byte> body = {};
  std::uint64_t max_body_bytes = 0;
};

/// How long a request is made again.
class Patience {
 public:
  explicit Patience(const S3Settings& settings)
      : retry_for_(settings.retry_for),
        stop_(settings.stop),
        backoff_(settings.first_pause, settings.longest_pause, std::random_device{}()),
        give_up_(std::chrono::steady_clock::now() + retry_for_) {}

  /// Pauses. Returns: whether to try again, which ends with Cancelled where a stop was requested.
  bool Wait() {
    const auto pause = backoff_.Next();
    if (std::chrono::steady_clock::now() + pause >= give_up_) return false;
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any().wait_for(lock, stop_, pause, [] { return false; });
    return true;
  }
  void HandleProgress() {
    backoff_.Reset();
    give_up_ = std::chrono::steady_clock::now() + retry_for_;
  }

 private:
  const std::chrono::milliseconds retry_for_;
  const std::stop_token stop_;
  Backoff backoff_;
  std::chrono::steady_clock::time_point give_up_;
};

std::string Quoted(const std::string& etag) { return "\"" + etag + "\""; }

/// Endpoint without its scheme, and without the port that goes without saying.
std::string HostOf(const std::string& endpoint) {
  const bool tls = endpoint.starts_with("https://");
  std::string host = endpoint.substr(tls ? 8 : 7);
  const std::string_view usual = tls ? ":443" : ":80";
  if (host.ends_with(usual)) host.resize(host.size() - usual.size());
  return host;
}

/// Synchronizes itself.
class S3Bucket final : public ObjectStore {
 public:
  S3Bucket(S3Settings settings, std::string bucket, S3Credentials credentials, const Clock& clock)
      : settings_(std::move(settings)),
        bucket_(std::move(bucket)),
        clock_(clock),
        client_({settings_.connect_deadline, settings_.request_deadline, settings_.ca_bundle, settings_.stop}),
        credentials_(std::move(credentials)) {}

  Result<ObjectFacts> Head(const std::string& key) override {
    const Call call{.method = "HEAD", .key = key};
    FERMENT_ASSIGN_OR_RETURN(const HttpAnswer answer, Send(call));
    if (answer.status >= 300) return Fail(Refusal(call, answer));
    ObjectFacts facts{0, EtagIn(answer)};
    const std::string size = answer.Header("content-length");
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), facts.size);
    if (error != std::errc() || end != size.data() + size.size())
      return Fail(UnavailableError("the store does not say how large the object is").With(Place(call)));
    return facts;
  }

  Result<std::vector<std::byte>> Read(const std::string& key, std::uint64_t offset, std::uint64_t size,
                                      const std::string& etag) override {
    std::vector<std::byte> bytes;
    Patience patience(settings_);
    while (bytes.size() < size) {
      Call call{.method = "GET", .key = key, .max_body_bytes = size - bytes.size()};
      const std::uint64_t begin = offset + bytes.size();
      call.headers["range"] = "bytes=" + std::to_string(begin) + "-" + std::to_string(offset + size - 1);
      if (!etag.empty()) call.headers["if-match"] = Quoted(etag);
      const HttpAnswer answer = Ask(call);
      const bool granted = answer.status == 200 || answer.status == 206;
      if (granted) FERMENT_RETURN_IF_ERROR(CheckPart(answer, begin, etag).With(Place(call)));
      if (granted && !answer.body.empty()) {
        bytes.insert(bytes.end(), answer.body.begin(), answer.body.end());
        patience.HandleProgress();
        continue;
      }
      const bool empty = granted && answer.transport.ok();
      if (!empty && !IsPassing(answer)) return Fail(ReadRefusal(call, answer));
      if (!patience.Wait()) return Fail(empty ? Empty(call) : Refusal(call, answer));
    }
    return bytes;
  }

  Status PutIfAbsent(const std::string& key, std::span<const std::byte> bytes) override {
    const Call call{.method = "PUT", .key = key, .headers = {{"if-none-match", "*"}}, .body = bytes};
    FERMENT_ASSIGN_OR_RETURN(const HttpAnswer answer, Send(call));
    if (answer.status < 300) return {};
    if (answer.status != 412) return Refusal(call, answer);
    FERMENT_ASSIGN_OR_RETURN(const auto there, SameThere(key, bytes));
    if (there.same) return {};
    return AlreadyExistsError("another object has this name: bytes=" + std::to_string(there.facts.size) +
                              " offered=" + std::to_string(bytes.size()))
        .With(Place(call));
  }

  Result<std::string> Replace(const std::string& key, std::span<const std::byte> bytes,
                              const std::string& etag) override {
    // Ceph before 17 compares an If-Match of PUT with its quotes, so it never fits: asked once more without.
    for (const bool quoted : {true, false}) {
      Call call{.method = "PUT", .key = key, .body = bytes};
      if (etag.empty()) {
        call.headers["if-none-match"] = "*";
      } else {
        call.headers["if-match"] = quoted ? Quoted(etag) : etag;
      }
      FERMENT_ASSIGN_OR_RETURN(const HttpAnswer answer, Send(call));
      if (answer.status < 300) return EtagOf(key, answer);
      if (answer.status != 412 && answer.status != 404) return Fail(Refusal(call, answer));
      const auto there = SameThere(key, bytes);
      if (!there && there.error().code() != StatusCode::kNotFound) return Fail(there.error());
      if (there && there->same) return there->facts.etag;
      if (quoted && there && there->facts.etag == etag) continue;
      return Fail(FailedPreconditionError("another writer has changed the object: expected=" + etag +
                                          " found=" + (there ? there->facts.etag : "none"))
                      .With(Place(call)));
    }
    return Fail(FailedPreconditionError("the store refuses If-Match with the object's own etag: etag=" + etag)
                    .With(Place({.method = "PUT", .key = key})));
  }

  Result<ObjectPage> List(const std::string& prefix, const std::string& from) override {
    Call call{.method = "GET", .max_body_bytes = kMaxListBytes};
    call.query = {{"list-type", "2"}, {"delimiter", "/"}, {"encoding-type", "url"}, {"prefix", prefix}};
    if (!from.empty()) call.query.emplace_back("continuation-token", from);
    FERMENT_ASSIGN_OR_RETURN(const HttpAnswer answer, Send(call));
    if (answer.status >= 300) return Fail(Refusal(call, answer));
    auto page = ParseObjectPage({reinterpret_cast<const char*>(answer.body.data()), answer.body.size()});
    if (!page) return Fail(page.error().With(Place(call)));
    return page;
  }

  Status Remove(const std::string& key) override {
    const Call call{.method = "DELETE", .key = key};
    FERMENT_ASSIGN_OR_RETURN(const HttpAnswer answer, Send(call));
    if (answer.status < 300 || S3ErrorCode(answer) == "NoSuchKey") return {};
    return Refusal(call, answer);
  }

 private:
  struct Found {
    ObjectFacts facts;
    bool same = false;
  };

  std::string Place(const Call& call) const {
    ObjectUrl url{bucket_, call.key};
    for (const auto& [name, value] : call.query) {
      if (name == "prefix") url.key = value;
    }
    return call.method + " " + url.Text() + " at " + settings_.endpoint;
  }

  Status Refusal(const Call& call, const HttpAnswer& answer) const {
    const Status failure = answer.transport.ok() ? S3Failure(answer, clock_.WallNow()) : answer.transport;
    return failure.With(Place(call));
  }

  Status ReadRefusal(const Call& call, const HttpAnswer& answer) const {
    const Status failure = Refusal(call, answer);
    if (answer.status != 412) return failure;
    return FailedPreconditionError("the object was replaced while it was read: " + std::string(failure.message()))
        .WithExitCode(exit_code::kBadData);
  }

  Status Empty(const Call& call) const { return UnavailableError("the store sends no byte of it").With(Place(call)); }

  static Status NoRanges() {
    return UnimplementedError("the store does not serve ranges of an object").WithExitCode(exit_code::kMissingService);
  }

  /// An answer whose status says that it is what was asked for, as far as it came.
  static Status CheckPart(const HttpAnswer& answer, std::uint64_t begin, const std::string& etag) {
    if (answer.transport.code() == StatusCode::kOutOfRange) return NoRanges();
    if (!answer.transport.ok() && answer.body.empty()) return {};
    if (answer.status == 200 ? begin != 0 : RangeBegin(answer) != begin) return NoRanges();
    const std::string found = EtagIn(answer);
    if (etag.empty() || found.empty() || found == etag) return {};
    return FailedPreconditionError("the object was replaced while it was read: etag=" + found + " before=" + etag)
        .WithExitCode(exit_code::kBadData);
  }

  /// Returns: the object's etag after a PUT.
  Result<std::string> EtagOf(const std::string& key, const HttpAnswer& answer) {
    std::string etag = EtagIn(answer);
    if (!etag.empty()) return etag;
    FERMENT_ASSIGN_OR_RETURN(ObjectFacts facts, Head(key));
    return std::move(facts.etag);
  }

  Result<Found> SameThere(const std::string& key, std::span<const std::byte> bytes) {
    FERMENT_ASSIGN_OR_RETURN(ObjectFacts facts, Head(key));
    if (facts.size != bytes.size()) return Found{std::move(facts), false};
    FERMENT_ASSIGN_OR_RETURN(const auto there, Read(key, 0, facts.size, facts.etag));
    return Found{std::move(facts), std::equal(there.begin(), there.end(), bytes.begin(), bytes.end())};
  }

  /// Returns: the first answer that is not passing. Errors: the last one that was.
  Result<HttpAnswer> Send(const Call& call) {
    Patience patience(settings_);
    while (true) {
      HttpAnswer answer = Ask(call);
      if (!IsPassing(answer)) {
        if (!answer.transport.ok()) return Fail(Refusal(call, answer));
        return answer;
      }
      if (!patience.Wait()) return Fail(Refusal(call, answer));
    }
  }

  /// Sends once, or once more with new credentials.
  HttpAnswer Ask(const Call& call) {
    const S3Credentials used = Credentials();
    HttpAnswer answer = SendOnce(call, used);
    if ((answer.status == 403 || answer.status == 400) && TakeOtherCredentials(used))
      answer = SendOnce(call, Credentials());
    return answer;
  }

  HttpAnswer SendOnce(const Call& call, const S3Credentials& credentials) {
    S3Request request{call.method, "/", call.query, call.headers, Sha256Hex(call.body)};
    const bool by_host = settings_.addressing == S3Addressing::kVirtualHost;
    std::string base = settings_.endpoint;
    if (by_host) base.insert(base.find("://") + 3, bucket_ + ".");
    request.headers["host"] = HostOf(base);
    request.path = by_host ? "/" : "/" + bucket_ + (call.key.empty() ? "" : "/");
    request.path += UriEncode(call.key, Slashes::kKept);
    request.headers["x-amz-content-sha256"] = request.body_sha256;
    Sign(credentials, {settings_.region}, clock_.WallNow(), request);
    const std::string query = CanonicalQuery(request);
    return client_.Perform({call.method, base + request.path + (query.empty() ? "" : "?" + query), request.headers,
                            call.body, call.max_body_bytes});
  }

  S3Credentials Credentials() {
    const MutexLock lock(mutex_);
    return credentials_;
  }

  /// Returns: whether there are others now than those that were refused.
  bool TakeOtherCredentials(const S3Credentials& refused) {
    const auto read = ReadS3Credentials(settings_.credentials_file, settings_.profile);
    const MutexLock lock(mutex_);
    if (read) credentials_ = *read;
    return credentials_ != refused;
  }

  // Constant after construction.
  const S3Settings settings_;
  const std::string bucket_;
  const Clock& clock_;
  // Synchronizes itself.
  HttpClient client_;
  // Under mutex_.
  Mutex mutex_;
  S3Credentials credentials_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<ObjectStore>> OpenS3Bucket(const S3Settings& settings, const std::string& bucket,
                                                  const Clock& clock) {
  FERMENT_ASSIGN_OR_RETURN(S3Credentials credentials, ReadS3Credentials(settings.credentials_file, settings.profile));
  S3Settings used = settings;
  // A wildcard certificate does not cover BUCKET.WITH.DOTS.HOST.
  if (bucket.find('.') != std::string::npos) used.addressing = S3Addressing::kPath;
  return std::make_unique<S3Bucket>(std::move(used), bucket, std::move(credentials), clock);
}

Result<std::shared_ptr<ObjectStore>> OpenObjectStore(const ObjectUrl& url, const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(S3Settings settings, S3SettingsFromEnvironment());
  settings.stop = stop;
  FERMENT_ASSIGN_OR_RETURN(auto bucket, OpenS3Bucket(settings, url.bucket));
  return std::shared_ptr<ObjectStore>(std::move(bucket));
}

Result<std::vector<std::byte>> ReadObject(ObjectStore& store, const std::string& key, std::uint64_t max_bytes) {
  FERMENT_ASSIGN_OR_RETURN(const ObjectFacts facts, store.Head(key));
  if (facts.size > max_bytes)
    return Fail(ResourceExhaustedError("object is too large: key=" + key + " bytes=" + std::to_string(facts.size) +
                                       " allowed=" + std::to_string(max_bytes))
                    .WithExitCode(exit_code::kBadData));
  return store.Read(key, 0, facts.size, facts.etag);
}

}  // namespace ferment::io
