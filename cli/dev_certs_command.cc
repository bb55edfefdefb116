// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <vector>

#include "cli/command.h"
#include "common/io/secret_folder.h"
#include "common/rpc/access_policy.h"
#include "common/rpc/certificate_maker.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;

constexpr char kServer[] = "coordinator";
constexpr int kAuthorityDays = 3650;
// A machine whose clock is a little behind trusts a new certificate too.
constexpr std::chrono::minutes kClockSkew{5};

struct DevCertsFlags {
  std::string folder;
  std::vector<std::string> hosts;
  std::vector<std::string> more;
  std::string trust = "ferment.local";
  int days = 90;
  bool force = false;
};

rpc::Validity ValidFor(int days) {
  const auto now = system_clock::now();
  return {now - kClockSkew, now + std::chrono::hours(24) * days};
}

std::string ReadText(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Status CheckFlags(const DevCertsFlags& flags) {
  const auto usage = [](const std::string& text) { return InvalidArgumentError(text).WithExitCode(exit_code::kUsage); };
  if (flags.days < 1 || flags.days > 825) return usage("--days is 1 to 825: days=" + std::to_string(flags.days));
  constexpr std::string_view kDomain = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
  if (flags.trust.empty() || flags.trust.find_first_not_of(kDomain) != std::string::npos) {
    return usage("--trust is lower-case letters, digits and .-_: trust=" + flags.trust);
  }
  constexpr std::string_view kName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  for (const std::string& one : flags.more) {
    const std::size_t slash = one.find('/');
    const std::string name = slash == std::string::npos ? "" : one.substr(slash + 1);
    if (rpc::RoleNamed(one.substr(0, slash)) == v1::ROLE_UNSPECIFIED || name.empty() ||
        name.find_first_not_of(kName) != std::string::npos) {
      return usage("--also is ROLE/NAME, such as labeler/gpu-7: also=" + one);
    }
  }
  return {};
}

/// The authority that is there already, else a new one.
Result<rpc::KeyAndCertificate> AuthorityOf(const DevCertsFlags& flags) {
  const fs::path folder = fs::path(flags.folder) / "ca";
  rpc::KeyAndCertificate authority{ReadText(folder / "ca.key"), ReadText(folder / "ca.crt")};
  const bool there = !authority.private_key.empty() && !authority.certificate.empty();
  if (there && flags.force) return authority;
  if (there || fs::exists(folder)) {
    return Fail(
        AlreadyExistsError("there are certificates already; --force issues new ones by the same authority, and a "
                           "new authority wants another folder: folder=" +
                           flags.folder)
            .WithExitCode(exit_code::kCannotWrite));
  }
  FERMENT_ASSIGN_OR_RETURN(authority, rpc::MakeAuthority(flags.trust + " development CA", ValidFor(kAuthorityDays)));
  std::error_code error;
  fs::create_directories(folder, error);
  chmod(folder.c_str(), 0700);
  FERMENT_RETURN_IF_ERROR(io::WriteSecretFile(folder / "ca.key", authority.private_key));
  FERMENT_RETURN_IF_ERROR(io::WriteSecretFile(folder / "ca.crt", authority.certificate));
  return authority;
}

/// `who` is ROLE or ROLE/NAME.
Status IssueTo(const DevCertsFlags& flags, const rpc::KeyAndCertificate& authority, const std::string& who,
               std::vector<std::string> hosts) {
  FERMENT_ASSIGN_OR_RETURN(const auto own,
                           rpc::IssueCertificate(authority, {.common_name = "ferment " + who,
                                                             .uri = "spiffe://" + flags.trust + "/ferment/" + who,
                                                             .hosts = std::move(hosts),
                                                             .validity = ValidFor(flags.days)}));
  std::string name = who;
  std::replace(name.begin(), name.end(), '/', '-');
  return io::ReplaceSecretFolder(
      fs::path(flags.folder) / name,
      {{"tls.key", own.private_key}, {"tls.crt", own.certificate}, {"ca.crt", authority.certificate}});
}

Status MakeCertificates(const DevCertsFlags& flags) {
  FERMENT_RETURN_IF_ERROR(CheckFlags(flags));
  FERMENT_ASSIGN_OR_RETURN(const rpc::KeyAndCertificate authority, AuthorityOf(flags));
  std::vector<std::string> hosts = {"localhost", "127.0.0.1", "::1"};
  hosts.insert(hosts.end(), flags.hosts.begin(), flags.hosts.end());
  FERMENT_RETURN_IF_ERROR(IssueTo(flags, authority, kServer, hosts));
  for (const v1::Role role : rpc::AllRoles()) {
    FERMENT_RETURN_IF_ERROR(IssueTo(flags, authority, rpc::RoleName(role), {}));
  }
  for (const std::string& who : flags.more) FERMENT_RETURN_IF_ERROR(IssueTo(flags, authority, who, {}));
  return {};
}

void PrintNextSteps(const DevCertsFlags& flags) {
  const std::string& folder = flags.folder;
  std::cout
      << "certificates for " << flags.days << " days, a folder a role, in " << folder << "\n\nNext:\n"
      << "  ferment-coordinator --listen 0.0.0.0:50400 --tls-dir " << folder << "/coordinator --trainer-tls-dir "
      << folder << "/trainer\n"
      << "  ferment-labeler --coordinator HOST:50400 --tls-dir " << folder << "/labeler\n"
      << "  ferment get --coordinator HOST:50400 --tls-dir " << folder << "/reader\n\n"
      << "HOST must be localhost, 127.0.0.1 or a --host of yours. Give each machine its own folder alone, and keep "
      << folder << "/ca/ca.key\nto yourself: whoever has it is everybody. The same command with --force renews all, "
      << "under running programs too.\n";
}

}  // namespace

void AddDevCertsCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand("dev-certs", "Make a certificate authority and a certificate for each role");
  auto flags = std::make_shared<DevCertsFlags>();
  command->add_option("DIR", flags->folder, "Folder for them")->required();
  command->add_option("--host", flags->hosts, "Name or address of the coordinator, beside localhost; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--also", flags->more, "ROLE/NAME: one more certificate, such as labeler/gpu-7; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--trust", flags->trust, "Trust domain in the certificates' URIs")->capture_default_str();
  command->add_option("--days", flags->days, "Days that they are good for, 1 to 825")->capture_default_str();
  command->add_flag("--force", flags->force, "Renew what is there");
  command->callback([flags] {
    while (flags->folder.size() > 1 && flags->folder.back() == '/') flags->folder.pop_back();
    LeaveIfFailed(MakeCertificates(*flags));
    PrintNextSteps(*flags);
  });
}

}  // namespace ferment::cli
