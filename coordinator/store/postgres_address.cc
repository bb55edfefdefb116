// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_address.h"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ferment::coordinator {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};

Status Wrong(const std::string& what) {
  return InvalidArgumentError("--store " + what).WithExitCode(exit_code::kUsage);
}

Status Unreadable(std::string why) {
  while (!why.empty() && (why.back() == '\n' || why.back() == ' ')) why.pop_back();
  std::replace(why.begin(), why.end(), '\n', ' ');
  return Wrong("and the PG* variables are not what PostgreSQL's library takes: " + why);
}

/// A command line is seen by everybody on the machine.
Status HasPassword() {
  return Wrong("must not hold a password; put it into a file of mode 0600 and name that in PGPASSFILE");
}

/// What is no %XX stays.
std::string Decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* const end = text.data() + std::min(i + 3, text.size());
    if (text[i] == '%' && i + 2 < text.size() && std::from_chars(text.data() + i + 1, end, byte, 16).ptr == end) {
      decoded += static_cast<char>(byte);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

/// By the letters alone: what libpq says of an address that it cannot read repeats it.
Status RefuseLikelyPassword(const std::string& address) {
  const std::string_view rest = std::string_view(address).substr(address.find("://") + 3);
  const std::size_t slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  const std::size_t user_end = authority.rfind('@');
  const bool named =
      user_end != std::string_view::npos && authority.substr(0, user_end).find(':') != std::string_view::npos;
  if (named || Decoded(address).find("password=") != std::string::npos) return HasPassword();
  if (slash == std::string_view::npos || rest.find('@', slash) == std::string_view::npos) return {};
  return Wrong(
      "must not have an @ behind its first /: write %40 for it and %2F for a / before it; a password does not belong "
      "there, but into a file of mode 0600 that PGPASSFILE names");
}

std::string ValueOf(const PQconninfoOption* options, std::string_view keyword) {
  for (; options->keyword != nullptr; ++options) {
    if (options->keyword == keyword) return options->val == nullptr ? "" : options->val;
  }
  return "";
}

std::vector<std::string> Listed(const std::string& list) {
  std::vector<std::string> parts(1);
  for (const char letter : list) {
    if (letter == ',') {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  return parts;
}

/// Of several hosts each may have its own. What is no number is not repeated: it may be a password whose host is
/// missing.
Status CheckPorts(const PQconninfoOption* options) {
  const std::vector<std::string> ports = Listed(ValueOf(options, "port"));
  for (const std::string& port : ports) {
    int number = 0;
    const char* const end = port.data() + port.size();
    const auto [read_to, error] = std::from_chars(port.data(), end, number);
    if (port.empty() || (error == std::errc() && read_to == end && number >= 1 && number <= 65'535)) continue;
    const bool digits = std::ranges::all_of(port, [](char letter) { return letter >= '0' && letter <= '9'; });
    return Wrong("must have a port of 1 to 65535, or none" + (digits ? ": port=" + port : ""));
  }
  const std::size_t hosts =
      std::max(Listed(ValueOf(options, "host")).size(), Listed(ValueOf(options, "hostaddr")).size());
  if (ports.size() == 1 || ports.size() == hosts) return {};
  return Wrong("must have one port, or one for each host: hosts=" + std::to_string(hosts) +
               " ports=" + std::to_string(ports.size()));
}

/// libpq looks at all values before it connects; here it can only connect to a socket that is not there.
Status CheckValues(const PQconninfoOption* options) {
  std::vector<const char*> names = {"host", "passfile"};
  std::vector<const char*> values = {"/dev/null", "/dev/null/none"};
  for (; options->keyword != nullptr; ++options) {
    const std::string_view name = options->keyword;
    if (options->val == nullptr || name == "host" || name == "hostaddr" || name == "port" || name == "passfile")
      continue;
    names.push_back(options->keyword);
    values.push_back(options->val);
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  const std::unique_ptr<PGconn, Finish> none(PQconnectStartParams(names.data(), values.data(), 0));
  if (none == nullptr || PQstatus(none.get()) != CONNECTION_BAD) return {};
  const std::string message = PQerrorMessage(none.get());
  return message.starts_with("connection to server") ? Status() : Unreadable(message);
}

}  // namespace

Status CheckPostgresAddress(const std::string& address) {
  FERMENT_RETURN_IF_ERROR(RefuseLikelyPassword(address));
  char* message = nullptr;
  const Options options(PQconninfoParse(address.c_str(), &message));
  if (options == nullptr) {
    const std::unique_ptr<char, decltype(&PQfreemem)> why(message, &PQfreemem);
    return Unreadable(why == nullptr ? "out of memory" : why.get());
  }
  if (!ValueOf(options.get(), "password").empty() || !ValueOf(options.get(), "sslpassword").empty())
    return HasPassword();
  FERMENT_RETURN_IF_ERROR(CheckPorts(options.get()));
  return CheckValues(options.get());
}

}  // namespace ferment::coordinator
