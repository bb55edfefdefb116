// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "common/base/json.h"
#include "common/base/whole_number.h"
#include "common/io/atomic_file.h"
#include "common/io/audit_log.h"
#include "common/io/local_file_system.h"
#include "common/io/secret_folder.h"
#include "common/rpc/access_policy.h"
#include "common/rpc/credentials/token_file.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

struct NewTokenFlags {
  std::string name;
  std::string role;
  std::string tokens;
  std::string out;
  int days = 90;
};

Status Usage(const std::string& text) { return InvalidArgumentError(text).WithExitCode(exit_code::kUsage); }

/// Returns: the token file's text with one more line. Errors: where the file cannot be understood, or has the name.
Result<std::string> WithLine(const NewTokenFlags& flags, const rpc::TokenEntry& entry) {
  // One that is there and cannot be read must not be replaced: all others' tokens would be lost.
  const auto kept = io::ReadTextFile(flags.tokens);
  if (!kept && kept.error().code() != StatusCode::kNotFound) return Fail(kept.error());
  std::string text = kept.value_or("");
  const auto entries = rpc::ParseTokens(text);
  if (!entries) return Fail(entries.error().With("file=" + flags.tokens));
  const bool known =
      std::any_of(entries->begin(), entries->end(), [&](const rpc::TokenEntry& one) { return one.name == entry.name; });
  if (known) {
    return Fail(
        AlreadyExistsError("somebody of this name has a token; take that line out first, or choose another name: "
                           "name=" +
                           entry.name + " file=" + flags.tokens)
            .WithExitCode(exit_code::kCannotWrite));
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  text += rpc::TokenLine(entry) + "\n";
  // What is written must be readable: a name with a space would lock the next start out.
  if (const auto again = rpc::ParseTokens(text); !again) return Fail(Usage(std::string(again.error().message())));
  return text;
}

Status MakeToken(const NewTokenFlags& flags) {
  rpc::TokenEntry entry{flags.name, rpc::RoleNamed(flags.role), {}, std::nullopt};
  if (entry.role == v1::ROLE_UNSPECIFIED) {
    return Usage("ROLE is reader, submitter, operator, labeler or trainer: role=" + flags.role);
  }
  FERMENT_ASSIGN_OR_RETURN(const std::string token, rpc::NewToken());
  entry.hash = rpc::HashOfToken(token);
  if (flags.days > 0) entry.expires = SystemClock().WallNow() + std::chrono::hours(24) * flags.days;
  FERMENT_ASSIGN_OR_RETURN(const std::string text, WithLine(flags, entry));
  FERMENT_RETURN_IF_ERROR(io::WriteSecretFile(flags.out, token + "\n"));
  const Status written = io::WriteFileAtomically(flags.tokens, text);
  std::error_code ignored;
  if (!written.ok()) fs::remove(flags.out, ignored);
  return written;
}

struct VerifyFlags {
  std::vector<fs::path> files;
  io::KnownHeads known;
  bool json = false;
};

void VerifyAudit(const VerifyFlags& flags) {
  const auto summary = io::VerifyAuditLog(flags.files, flags.known);
  if (!summary) LeaveIfFailed(summary.error());
  const std::uint64_t lines = summary->lines + 1 - summary->first;
  if (flags.json) {
    std::cout << Json{{"first", summary->first}, {"lines", lines}, {"head", summary->head}}.dump() << "\n";
    return;
  }
  std::cout << "as it was written: " << lines << " lines";
  if (summary->first > 1) std::cout << " from line " << summary->first << " on";
  std::cout << ", head " << summary->head << "\n";
}

}  // namespace

void AddTokenCommands(CLI::App& app) {
  CLI::App* token = app.add_subcommand("new-token", "Make a token for a person, and let a coordinator know its hash");
  auto flags = std::make_shared<NewTokenFlags>();
  token->add_option("NAME", flags->name, "Whose it is; it stands in the audit log")->required();
  token->add_option("ROLE", flags->role, "reader, submitter or operator")->required();
  token->add_option("--tokens", flags->tokens, "The coordinator's file of hashes; a line is added")->required();
  token->add_option("--out", flags->out, "New file for the token itself, for that person alone")->required();
  token->add_option("--days", flags->days, "Days that it is good for; 0: for ever")
      ->check(WholeNumber(0, 3650))
      ->capture_default_str();
  token->callback([flags] {
    LeaveIfFailed(MakeToken(*flags));
    std::cout << "the token of " << flags->name << " is in " << flags->out << "; use it with --token-file, and with "
              << "--tls-ca for the coordinator's authority\n";
  });

  CLI::App* audit = app.add_subcommand("audit", "Look at a coordinator's audit log")->require_subcommand(1);
  CLI::App* verify =
      audit->add_subcommand("verify", "Check that no line was changed, dropped or moved; 65 where one was");
  auto look = std::make_shared<VerifyFlags>();
  verify->add_option("FILES", look->files, "The audit log; of one that was rotated its files, oldest first")
      ->required();
  verify->add_option("--head", look->known.kept, "A head noted earlier: shows that the end was not cut off before it");
  verify->add_option("--after", look->known.after,
                     "The head with which the files before ended, where those are gone: it goes on behind that");
  verify->add_flag("--json", look->json, "As one JSON object");
  verify->callback([look] { VerifyAudit(*look); });
}

}  // namespace ferment::cli
