// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_settings.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>

#include "common/base/environment_names.h"
#include "common/io/local_file_system.h"
#include "common/io/object/ca_bundle.h"
#include "common/io/shown_name.h"

namespace ferment::io {
namespace {

using Section = std::map<std::string, std::string>;

std::string_view Trim(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r"), text.size());
  const std::size_t end = text.find_last_not_of(" \t\r");
  return end == std::string_view::npos ? std::string_view() : text.substr(begin, end + 1 - begin);
}

/// Returns: a section of an INI file, nothing where the file has none of the name.
std::optional<Section> SectionOf(std::string_view text, std::string_view name) {
  std::optional<Section> found;
  bool inside = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#') || line.starts_with(';')) continue;
    if (line.starts_with('[') && line.ends_with(']')) {
      inside = Trim(line.substr(1, line.size() - 2)) == name;
      if (inside && !found) found.emplace();
      continue;
    }
    const std::size_t equals = line.find('=');
    if (!inside || equals == std::string_view::npos) continue;
    (*found)[std::string(Trim(line.substr(0, equals)))] = Trim(line.substr(equals + 1));
  }
  return found;
}

std::string FromEnvironment(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

std::filesystem::path DefaultCredentialsFile() {
  const std::string home = FromEnvironment({"HOME"});
  return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / ".aws" / "credentials";
}

bool IsLoopback(std::string_view host) { return host == "localhost" || host == "[::1]" || host.starts_with("127."); }

Status CheckEndpoint(std::string_view endpoint, bool insecure) {
  const bool plain = endpoint.starts_with("http://");
  if (!plain && !endpoint.starts_with("https://"))
    return InvalidArgumentError(
        "the object store's endpoint is not https://HOST[:PORT] or http://HOST[:PORT]: "
        "AWS_ENDPOINT_URL_S3=" +
        ShownName(endpoint));
  std::string_view host = endpoint.substr(plain ? 7 : 8);
  if (host.empty() || host.find_first_of("/?#@ ") != std::string_view::npos)
    return InvalidArgumentError("the object store's endpoint has more than a host and a port: AWS_ENDPOINT_URL_S3=" +
                                ShownName(endpoint));
  host = host.starts_with('[') ? host.substr(0, host.find(']') + 1) : host.substr(0, host.find(':'));
  if (!plain || insecure || IsLoopback(host)) return {};
  return InvalidArgumentError(
      std::string("faces and labels would cross the network unencrypted; use https://, or set ") +
      environment::kS3Insecure + "=true where that is meant: AWS_ENDPOINT_URL_S3=" + ShownName(endpoint));
}

Result<S3Addressing> AddressingOf(const std::string& word, bool own_endpoint) {
  if (word == "path") return S3Addressing::kPath;
  if (word == "virtual") return S3Addressing::kVirtualHost;
  if (word.empty() || word == "auto") return own_endpoint ? S3Addressing::kPath : S3Addressing::kVirtualHost;
  return Fail(InvalidArgumentError(std::string(environment::kS3Addressing) + "=" + ShownName(word) +
                                   "; allowed: auto, path, virtual"));
}

}  // namespace

Result<S3Settings> S3SettingsFromEnvironment() {
  S3Settings settings;
  settings.credentials_file = FromEnvironment({"AWS_SHARED_CREDENTIALS_FILE"});
  if (settings.credentials_file.empty()) settings.credentials_file = DefaultCredentialsFile();
  if (const std::string profile = FromEnvironment({"AWS_PROFILE"}); !profile.empty()) settings.profile = profile;
  Section section;
  if (const auto text = ReadTextFile(settings.credentials_file))
    section = SectionOf(*text, settings.profile).value_or(Section());
  const auto choose = [&section](std::initializer_list<const char*> variables, const char* key) {
    const std::string value = FromEnvironment(variables);
    return value.empty() ? section[key] : value;
  };
  if (const std::string region = choose({"AWS_REGION", "AWS_DEFAULT_REGION"}, "region"); !region.empty())
    settings.region = region;
  settings.endpoint = choose({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}, "endpoint_url");
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  const bool own_endpoint = !settings.endpoint.empty();
  if (!own_endpoint) settings.endpoint = "https://s3." + settings.region + ".amazonaws.com";
  const std::string insecure = FromEnvironment({environment::kS3Insecure});
  if (!insecure.empty() && insecure != "true" && insecure != "false")
    return Fail(InvalidArgumentError(std::string(environment::kS3Insecure) + "=" + ShownName(insecure) +
                                     "; allowed: true, false"));
  FERMENT_RETURN_IF_ERROR(CheckEndpoint(settings.endpoint, insecure == "true"));
  FERMENT_ASSIGN_OR_RETURN(settings.addressing,
                           AddressingOf(FromEnvironment({environment::kS3Addressing}), own_endpoint));
  settings.ca_bundle = FromEnvironment({"AWS_CA_BUNDLE"});
  if (!settings.ca_bundle.empty()) FERMENT_RETURN_IF_ERROR(CheckCaBundle(settings.ca_bundle));
  return settings;
}

Result<S3Credentials> ReadS3Credentials(const std::filesystem::path& file, const std::string& profile) {
  const std::string where = ": file=" + file.string() + " profile=" + ShownName(profile);
  const std::string advice =
      "; AWS_SHARED_CREDENTIALS_FILE names the file, AWS_PROFILE the section; keys in the environment are not read";
  const auto text = ReadTextFile(file);
  if (!text) return Fail(text.error().With("the object store's credentials" + advice));
  const auto section = SectionOf(*text, profile);
  if (!section) return Fail(InvalidArgumentError("no such section in the credentials" + where + advice));
  const auto value = [&section](const char* key) {
    const auto found = section->find(key);
    return found == section->end() ? std::string() : found->second;
  };
  const S3Credentials credentials{value("aws_access_key_id"), value("aws_secret_access_key"),
                                  value("aws_session_token")};
  if (credentials.access_key.empty() || credentials.secret_key.empty())
    return Fail(InvalidArgumentError("the section lacks aws_access_key_id or aws_secret_access_key" + where + advice));
  return credentials;
}

}  // namespace ferment::io
