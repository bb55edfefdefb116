// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/io/object/tls_failure.h"

namespace ferment::io {
namespace {

struct FreeEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeMulti {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
/// One request at a time. libcurl's "multi" keeps the connection, and can be woken from another thread.
struct Handle {
  std::unique_ptr<CURLM, FreeMulti> multi{curl_multi_init()};
  std::unique_ptr<CURL, FreeEasy> easy{curl_easy_init()};
};

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

/// What libcurl's callbacks work on.
struct Exchange {
  std::span<const std::byte> unsent;
  std::uint64_t max_body_bytes;
  bool too_long = false;
  /// Of the status line that came last.
  bool refused = false;
  HttpAnswer answer;
};

/// What is kept of the document that comes with a refusal.
constexpr std::uint64_t kMaxRefusalBytes = 64 << 10;

std::size_t HandleBody(const char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  auto& body = exchange.answer.body;
  const std::size_t bytes = size * count;
  const std::uint64_t room = (exchange.refused ? kMaxRefusalBytes : exchange.max_body_bytes) - body.size();
  exchange.too_long = bytes > room && !exchange.refused;
  if (exchange.too_long) return 0;
  const auto part = std::as_bytes(std::span(data, std::min<std::uint64_t>(bytes, room)));
  body.insert(body.end(), part.begin(), part.end());
  return bytes;
}

std::size_t HandleHeader(const char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  auto& answer = exchange.answer;
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {
    answer.headers.clear();  // of an interim answer
    const std::size_t space = line.find(' ');
    exchange.refused = space != std::string_view::npos && space + 1 < line.size() && line[space + 1] > '2';
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size * count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string_view value = line.substr(colon + 1);
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty() && is_space(value.front())) value.remove_prefix(1);
  while (!value.empty() && is_space(value.back())) value.remove_suffix(1);
  answer.headers[name] = value;
  return size * count;
}

std::size_t GiveBody(char* buffer, std::size_t size, std::size_t count, void* user) {
  auto& unsent = static_cast<Exchange*>(user)->unsent;
  const std::size_t bytes = std::min(size * count, unsent.size());
  if (bytes > 0) std::memcpy(buffer, unsent.data(), bytes);
  unsent = unsent.subspan(bytes);
  return bytes;
}

/// Returns: what OpenSSL says of the server's certificate.
long VerifyResult(CURL* handle) {
  long result = 0;
  curl_easy_getinfo(handle, CURLINFO_SSL_VERIFYRESULT, &result);
  return result;
}

Status TransportFailure(CURL* handle, CURLcode code, const char* detail, const std::filesystem::path& ca_bundle) {
  const std::string text = *detail == '\0' ? curl_easy_strerror(code) : detail;
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return DeadlineExceededError(text);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return CertificateFailure(VerifyResult(handle), text, ca_bundle);
    case CURLE_SSL_CACERT_BADFILE:
      return InvalidArgumentError("the certificates to trust, AWS_CA_BUNDLE or the system's, cannot be read: " + text);
    case CURLE_SSL_CONNECT_ERROR:
      return HandshakeFailure(text);
    default:
      return UnavailableError(text);
  }
}

/// libcurl takes the end of a connection for the end of an answer that tells no length, over TLS without a farewell
/// too.
bool MayBeCut(const HttpRequest& request, const HttpAnswer& answer) {
  return request.method == "GET" && answer.status / 100 == 2 && answer.Header("content-length").empty() &&
         answer.Header("transfer-encoding").empty();
}

HeaderList MakeHeaders(const HttpRequest& request) {
  curl_slist* list = nullptr;
  // libcurl would wait for a go-ahead before it sends a large body, and adds a type of its own.
  for (const char* without : {"Expect:", "Content-Type:"}) list = curl_slist_append(list, without);
  for (const auto& [name, value] : request.headers) {
    if (name != "host") list = curl_slist_append(list, (name + ": " + value).c_str());
  }
  return HeaderList(list);
}

template <typename T>
void Set(CURL* handle, CURLoption option, T value) {
  const CURLcode code = curl_easy_setopt(handle, option, value);
  FERMENT_CHECK(code == CURLE_OK) << "libcurl refuses an option: " << curl_easy_strerror(code) << " option=" << option;
}

void SetMethod(CURL* handle, const HttpRequest& request) {
  if (request.method == "HEAD") {
    Set(handle, CURLOPT_NOBODY, 1L);
  } else if (request.method == "PUT") {
    Set(handle, CURLOPT_UPLOAD, 1L);
    Set(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  } else if (request.method == "DELETE") {
    Set(handle, CURLOPT_CUSTOMREQUEST, "DELETE");
  } else {
    FERMENT_CHECK(request.method == "GET") << "no such method: " << request.method;
    Set(handle, CURLOPT_HTTPGET, 1L);
  }
}

void SetTrust(CURL* handle, const std::string& url, const std::filesystem::path& ca_bundle) {
  Set(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  Set(handle, CURLOPT_PROXY_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  // What is allowed unencrypted goes to the store itself, not through whatever http_proxy names.
  if (url.starts_with("http://")) Set(handle, CURLOPT_NOPROXY, "*");
  if (ca_bundle.empty()) return;
  Set(handle, CURLOPT_CAINFO, ca_bundle.c_str());
  // Without these libcurl goes on to trust the system's folder, and for up to a day what the file once held.
  Set<const char*>(handle, CURLOPT_CAPATH, nullptr);
  Set(handle, CURLOPT_CA_CACHE_TIMEOUT, 0L);
  Set(handle, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

/// What libcurl cannot do, such as to wait on sockets while the system has no memory; another time it may.
Status Failed(CURLMcode code) { return UnavailableError("libcurl: " + std::string(curl_multi_strerror(code))); }

/// Returns: how the request that was added to the handle's multi ended. Errors: Cancelled; those of Failed.
Result<CURLcode> Await(const Handle& handle, const std::stop_token& stop) {
  constexpr int kWakesByItselfMs = 1000;
  CURLM* const multi = handle.multi.get();
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  while (!stop.stop_requested()) {
    int running = 0;
    if (const CURLMcode code = curl_multi_perform(multi, &running); code != CURLM_OK) return Fail(Failed(code));
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    const CURLMcode waited = curl_multi_poll(multi, nullptr, 0, kWakesByItselfMs, nullptr);
    if (waited != CURLM_OK) return Fail(Failed(waited));
  }
  return Fail(CancelledError("asked to stop"));
}

/// Returns and errors: as Await. The handle is good for another request only where the request ended.
Result<CURLcode> Exchanged(const Handle& handle, const std::stop_token& stop) {
  CURL* const easy = handle.easy.get();
  if (const CURLMcode code = curl_multi_add_handle(handle.multi.get(), easy); code != CURLM_OK) {
    return Fail(Failed(code));
  }
  const auto ended = Await(handle, stop);
  // Nobody waits for a name server then either.
  if (!ended) Set(easy, CURLOPT_QUICK_EXIT, 1L);
  const CURLMcode removed = curl_multi_remove_handle(handle.multi.get(), easy);
  FERMENT_CHECK(removed == CURLM_OK) << "libcurl: " << curl_multi_strerror(removed);
  return ended;
}

}  // namespace

/// Handles that are not in use; each keeps its connection. Synchronizes itself.
class HttpClient::Pool {
 public:
  Handle Take() {
    const MutexLock lock(mutex_);
    if (idle_.empty()) return {};
    Handle handle = std::move(idle_.back());
    idle_.pop_back();
    return handle;
  }
  void Give(Handle handle) {
    // Another, the connection stays with the multi: libcurl 7.88 would append what the next answer begins with, where
    // that is a space, to this answer's last header, which it has freed by then.
    handle.easy.reset(curl_easy_init());
    const MutexLock lock(mutex_);
    idle_.push_back(std::move(handle));
  }

 private:
  Mutex mutex_;
  std::vector<Handle> idle_ FERMENT_GUARDED_BY(mutex_);
};

std::string HttpAnswer::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

HttpClient::HttpClient(Options options) : options_(std::move(options)), pool_(std::make_unique<Pool>()) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  FERMENT_CHECK(ready == CURLE_OK) << "libcurl does not start: " << curl_easy_strerror(ready);
}

HttpClient::~HttpClient() = default;

HttpAnswer HttpClient::Perform(const HttpRequest& request) {
  Exchange exchange{request.body, request.max_body_bytes, false, false, {}};
  std::array<char, CURL_ERROR_SIZE> detail = {};
  const HeaderList headers = MakeHeaders(request);
  // Behind what it points to, so that it goes before that.
  Handle handle = pool_->Take();
  FERMENT_CHECK(handle.easy != nullptr && handle.multi != nullptr) << "libcurl has no memory";
  CURL* const curl = handle.easy.get();
  Set(curl, CURLOPT_URL, request.url.c_str());
  Set(curl, CURLOPT_HTTPHEADER, headers.get());
  Set(curl, CURLOPT_ERRORBUFFER, detail.data());
  Set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Set(curl, CURLOPT_PATH_AS_IS, 1L);  // a key may have ".." in it
  Set(curl, CURLOPT_NOSIGNAL, 1L);
  Set(curl, CURLOPT_USERAGENT, "ferment");
  Set(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_deadline.count()));
  Set(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.deadline.count()));
  SetTrust(curl, request.url, options_.ca_bundle);
  Set(curl, CURLOPT_WRITEFUNCTION, &HandleBody);
  Set(curl, CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
  Set(curl, CURLOPT_HEADERFUNCTION, &HandleHeader);
  Set(curl, CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
  Set(curl, CURLOPT_READFUNCTION, &GiveBody);
  Set(curl, CURLOPT_READDATA, static_cast<void*>(&exchange));
  SetMethod(curl, request);
  const Result<CURLcode> ended = Exchanged(handle, options_.stop);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  exchange.answer.status = static_cast<int>(status);
  if (!ended) {
    exchange.answer.transport = ended.error();
  } else if (exchange.too_long) {
    exchange.answer.transport = OutOfRangeError("the answer is longer than what was asked for");
  } else if (*ended != CURLE_OK) {
    exchange.answer.transport = TransportFailure(curl, *ended, detail.data(), options_.ca_bundle);
  } else if (MayBeCut(request, exchange.answer)) {
    exchange.answer.transport = UnavailableError("the answer does not say where it ends");
  }
  if (ended) pool_->Give(std::move(handle));
  return std::move(exchange.answer);
}

}  // namespace ferment::io
