// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <vector>

#include "cli/command.h"
#include "cli/issued_certificates.h"
#include "common/base/whole_number.h"
#include "common/io/atomic_file.h"
#include "common/io/local_file_system.h"
#include "common/io/secret_folder.h"
#include "common/rpc/access_policy.h"
#include "common/rpc/credentials/certificate_maker.h"
#include "common/rpc/credentials/credential_paths.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;

constexpr char kServer[] = "coordinator";
constexpr char kList[] = "ca.crl";
constexpr int kAuthorityDays = 3650;
// A machine whose clock is a little behind trusts a new certificate too.
constexpr std::chrono::minutes kClockSkew{5};

struct DevCertsFlags {
  std::string folder;
  std::vector<std::string> hosts;
  std::vector<std::string> more;
  std::vector<std::string> revoke;
  std::string trust = "ferment.local";
  int days = 90;
  bool force = false;
};

rpc::Validity ValidFor(int days) {
  const auto now = system_clock::now();
  return {now - kClockSkew, now + std::chrono::hours(24) * days};
}

fs::path AuthorityFolder(const DevCertsFlags& flags) { return fs::path(flags.folder) / "ca"; }

IssuedCertificates IssuedBy(const DevCertsFlags& flags) {
  return IssuedCertificates(AuthorityFolder(flags) / "issued");
}

std::string ReadText(const fs::path& file) { return io::ReadTextFile(file).value_or(""); }

Status CheckFlags(const DevCertsFlags& flags) {
  const auto usage = [](const std::string& text) { return InvalidArgumentError(text).WithExitCode(exit_code::kUsage); };
  constexpr std::string_view kDomain = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
  if (flags.trust.empty() || flags.trust.find_first_not_of(kDomain) != std::string::npos) {
    return usage("--trust is lower-case letters, digits and .-_: trust=" + flags.trust);
  }
  if (!flags.revoke.empty() && !flags.force && !(flags.hosts.empty() && flags.more.empty())) {
    return usage("--revoke makes no certificates, so that --host and --also say nothing; --force renews all, too");
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
  const fs::path folder = AuthorityFolder(flags);
  rpc::KeyAndCertificate authority{ReadText(folder / "ca.key"), ReadText(folder / "ca.crt")};
  const bool there = !authority.private_key.empty() && !authority.certificate.empty();
  if (there && (flags.force || !flags.revoke.empty())) return authority;
  if (!flags.revoke.empty()) {
    return Fail(NotFoundError("no authority whose certificates could be revoked: folder=" + folder.string())
                    .WithExitCode(exit_code::kUsage));
  }
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
  FERMENT_RETURN_IF_ERROR(IssuedBy(flags).Remember(own.certificate));
  std::map<std::string, std::string> files = {
      {"tls.key", own.private_key}, {"tls.crt", own.certificate}, {"ca.crt", authority.certificate}};
  if (const std::string list = ReadText(AuthorityFolder(flags) / kList); !list.empty()) files[kList] = list;
  std::string name = who;
  std::replace(name.begin(), name.end(), '/', '-');
  return io::ReplaceSecretFolder(fs::path(flags.folder) / name, files);
}

/// The folders of this authority's certificates, the coordinator's first.
std::vector<fs::path> FoldersOf(const DevCertsFlags& flags, const rpc::KeyAndCertificate& authority) {
  std::vector<fs::path> folders;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(flags.folder, none)) {
    if (!fs::exists(entry.path() / "tls.crt", none)) continue;
    if (ReadText(entry.path() / "ca.crt") == authority.certificate) folders.push_back(entry.path());
  }
  std::stable_partition(folders.begin(), folders.end(), [](const fs::path& one) { return one.filename() == kServer; });
  return folders;
}

/// Also those that an older version has issued, which remembered none.
Status RememberThoseInFolders(const DevCertsFlags& flags, const rpc::KeyAndCertificate& authority) {
  for (const fs::path& folder : FoldersOf(flags, authority)) {
    const Status known = IssuedBy(flags).Remember(ReadText(folder / "tls.crt"));
    if (!known.ok()) return known.With("file=" + (folder / "tls.crt").string());
  }
  return {};
}

/// Adds whoever is to be revoked to the authority's list and signs it anew, also where nobody is: for as long as the
/// certificates. No list is made before there is somebody.
Status SignList(const DevCertsFlags& flags, const rpc::KeyAndCertificate& authority) {
  const fs::path file = AuthorityFolder(flags) / kList;
  std::string former;
  std::error_code none;
  if (fs::exists(file, none)) {
    FERMENT_ASSIGN_OR_RETURN(former, rpc::ReadCredential(file));
  } else if (flags.revoke.empty()) {
    return {};
  }
  std::vector<std::string> certificates;
  for (const std::string& who : flags.revoke) {
    FERMENT_ASSIGN_OR_RETURN(const auto found, IssuedBy(flags).Of(who));
    if (found.empty()) {
      return NotFoundError("no certificate that is still good was issued here: revoke=" + who +
                           " folder=" + flags.folder)
          .WithExitCode(exit_code::kUsage);
    }
    certificates.insert(certificates.end(), found.begin(), found.end());
  }
  const auto list = rpc::MakeRevocationList(authority, former, certificates, ValidFor(flags.days));
  if (!list) return list.error().With("file=" + file.string()).WithExitCode(exit_code::kNotAllowed);
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(file, *list));
  for (const fs::path& folder : FoldersOf(flags, authority)) {
    FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(folder / kList, *list));
  }
  return {};
}

Status MakeCertificates(const DevCertsFlags& flags) {
  FERMENT_RETURN_IF_ERROR(CheckFlags(flags));
  FERMENT_ASSIGN_OR_RETURN(const rpc::KeyAndCertificate authority, AuthorityOf(flags));
  FERMENT_RETURN_IF_ERROR(RememberThoseInFolders(flags, authority));
  FERMENT_RETURN_IF_ERROR(SignList(flags, authority));
  if (!flags.revoke.empty() && !flags.force) return {};
  IssuedBy(flags).Prune();
  std::vector<std::string> hosts = {"localhost", "127.0.0.1", "::1"};
  hosts.insert(hosts.end(), flags.hosts.begin(), flags.hosts.end());
  FERMENT_RETURN_IF_ERROR(IssueTo(flags, authority, kServer, hosts));
  for (const v1::Role role : rpc::AllRoles()) {
    FERMENT_RETURN_IF_ERROR(IssueTo(flags, authority, rpc::RoleName(role), {}));
  }
  for (const std::string& who : flags.more) FERMENT_RETURN_IF_ERROR(IssueTo(flags, authority, who, {}));
  return {};
}

void PrintRevoked(const DevCertsFlags& flags) {
  const std::string& folder = flags.folder;
  std::cout << "revoked, every certificate that was issued to:";
  for (const std::string& who : flags.revoke) std::cout << " " << who;
  std::cout << "\nThe list, good for " << flags.days << " days, is " << kList << " in " << folder
            << "/ca and in each folder beside it.\n"
            << "A coordinator with --tls-dir " << folder
            << "/coordinator refuses them within a second or so. Elsewhere, put\n"
            << folder << "/ca/" << kList << " into its --tls-dir, in the place of the former one.\n";
}

void PrintNextSteps(const DevCertsFlags& flags) {
  if (!flags.revoke.empty()) PrintRevoked(flags);
  if (!flags.revoke.empty() && !flags.force) return;
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
  command
      ->add_option("--revoke", flags->revoke,
                   "ROLE or ROLE/NAME: take back every certificate that was issued to it; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--trust", flags->trust, "Trust domain in the certificates' URIs")->capture_default_str();
  command->add_option("--days", flags->days, "Days that they, and the list of revoked ones, are good for, 1 to 825")
      ->check(WholeNumber(1, 825))
      ->capture_default_str();
  command->add_flag("--force", flags->force, "Renew what is there");
  command->callback([flags] {
    while (flags->folder.size() > 1 && flags->folder.back() == '/') flags->folder.pop_back();
    LeaveIfFailed(MakeCertificates(*flags));
    PrintNextSteps(*flags);
  });
}

}  // namespace ferment::cli
