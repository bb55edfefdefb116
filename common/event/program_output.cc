// SPDX-License-Identifier: Apache-2.0
#include "common/event/program_output.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/event/child_process.h"

namespace ferment::event {
namespace {

namespace fs = std::filesystem;

/// A folder that nobody else writes into, gone with this.
class PrivateFolder {
 public:
  explicit PrivateFolder(fs::path path) : path_(std::move(path)) {}
  ~PrivateFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  const fs::path path_;
};

std::string TextOf(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string Trimmed(const std::string& line) {
  const std::size_t begin = line.find_first_not_of(" \t\r");
  return begin == std::string::npos ? "" : line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
}

}  // namespace

Result<ProgramOutput> OutputOf(const std::vector<std::string>& argv, std::chrono::milliseconds patience,
                               StandardError errors) {
  std::error_code error;
  std::string name = (fs::temp_directory_path(error) / "ferment-XXXXXX").string();
  if (error || mkdtemp(name.data()) == nullptr) {
    return Fail(PermissionDeniedError("cannot make a temporary folder: path=" + name + " error=" + strerror(errno)));
  }
  const PrivateFolder folder(name);
  ChildProcessOptions options{.argv = argv, .output = folder.path() / "output"};
  if (errors == StandardError::kApart) options.errors = folder.path() / "errors";
  ProgramOutput output{.begin = SystemClock().WallNow()};
  FERMENT_ASSIGN_OR_RETURN(auto child, ChildProcess::Start(options));
  const auto exit_code = child.WaitFor(patience);
  output.end = SystemClock().WallNow();
  if (!exit_code) {
    child.SignalGroup(SIGKILL);
    child.WaitFor(patience);
    return Fail(DeadlineExceededError("no answer within " + std::to_string(patience.count() / 1000) + " s"));
  }
  output.exit_code = *exit_code;
  output.text = TextOf(options.output);
  if (!options.errors.empty()) output.errors = TextOf(options.errors);
  return output;
}

std::string FirstLine(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : Trimmed(text.substr(begin, text.find('\n', begin) - begin));
}

std::string LastLine(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const std::size_t before = text.rfind('\n', end);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  return Trimmed(text.substr(begin, end + 1 - begin));
}

}  // namespace ferment::event
