// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_service.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>

#include "cli/doctor/doctor_processes.h"
#include "common/base/clock.h"
#include "common/rpc/credentials/certificate_facts.h"
#include "common/rpc/credentials/revocation_list.h"

namespace ferment::cli {
namespace {

/// Of a program's name the kernel keeps as much.
constexpr std::size_t kLongestName = 15;

/// Returns: 0 where the address could be bound, else errno.
int TryToBind(const addrinfo& address) {
  const int handle = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (handle < 0) return errno;
  // As the coordinator does it: what has just ended there is no hindrance, what listens is.
  const int on = 1;
  setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = bind(handle, address.ai_addr, address.ai_addrlen) == 0 && listen(handle, 1) == 0;
  const int error = bound ? 0 : errno;
  close(handle);
  return error;
}

}  // namespace

Finding CheckPort(const std::string& flag, const rpc::ListenAddress& wanted) {
  const std::string address = wanted.ToString();
  const std::string another = "give ferment-coordinator another: --" + flag + " HOST:PORT";
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* resolved = nullptr;
  if (const int code = getaddrinfo(wanted.host.c_str(), std::to_string(wanted.port).c_str(), &hints, &resolved)) {
    return {flag, false, wanted.host + ": " + gai_strerror(code), another};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(resolved, &freeaddrinfo);
  const int error = TryToBind(*resolved);
  if (error == 0) return {flag, true, address + " is free"};
  if (error != EADDRINUSE) return {flag, false, address + ": " + strerror(error), another};
  const auto holder = HolderOf(wanted.port);
  if (!holder) return {flag, false, address + " is taken, /proc does not tell by whom", another};
  if (holder->pid == 0) {
    return {flag, false, address + " is taken by a process of user id " + std::to_string(holder->user),
            another + "; who it is, root sees: ss -ltnp"};
  }
  const std::string who = holder->program + ", process " + std::to_string(holder->pid);
  if (holder->program == std::string("ferment-coordinator").substr(0, kLongestName))
    return {flag, true, address + " is served by " + who};
  return {flag, false, address + " is taken by " + who, "end that process, or " + another};
}

Finding CheckCertificates(const rpc::CredentialFlags& flags) {
  const std::string fix = "renew them: ferment dev-certs DIR --force";
  const auto paths = rpc::ResolveCredentials(flags);
  if (!paths) return {"certificates", false, std::string(paths.error().message()), fix};
  if (const Status usable = rpc::CheckCredentials(*paths); !usable.ok()) {
    return {"certificates", false, std::string(usable.message()), fix};
  }
  if (!paths->HaveCertificate())
    return {"certificates", true, "an authority to trust, no certificate of one's own", ""};
  const auto text = rpc::ReadCredential(paths->certificate);
  const auto facts = text ? rpc::ReadCertificateFacts(*text) : Result<rpc::CertificateFacts>(Fail(text.error()));
  if (!facts) return {"certificates", false, std::string(facts.error().message()), fix};
  const auto left = std::chrono::duration_cast<std::chrono::hours>(facts->expires - SystemClock().WallNow());
  std::string found = facts->uri + ", " + std::to_string(left.count() / 24) + " days left";
  for (const std::string& host : facts->hosts) found += (&host == &facts->hosts.front() ? ", serves " : " ") + host;
  return {"certificates", left > std::chrono::hours(24 * 7), found, fix};
}

std::optional<Finding> CheckRevocations(const rpc::CredentialFlags& flags) {
  const auto paths = rpc::ResolveCredentials(flags);
  const auto lists = paths ? rpc::ReadRevocations(*paths) : rpc::RevocationLists();
  if (!lists || lists->empty()) return std::nullopt;
  const std::string found = std::to_string(lists->size()) + " revoked";
  const auto next_update = lists->next_update();
  if (!next_update) return Finding{"revocations", true, found + ", no end to the list"};
  const auto left = std::chrono::duration_cast<std::chrono::hours>(*next_update - SystemClock().WallNow());
  const bool good = left > std::chrono::hours(0);
  return Finding{"revocations", good,
                 found + (good ? ", the list is good for " + std::to_string(left.count() / 24) + " days"
                               : ", the list should have been replaced: next_update=" + FormatUtc(*next_update)),
                 "have the authority sign a new one (`ferment dev-certs DIR --force`); what it revokes stays revoked"};
}

}  // namespace ferment::cli
