// SPDX-License-Identifier: Apache-2.0
#include "tests/layers/source_rules.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>

namespace ferment::layers {
namespace {

struct Room {
  std::string_view prefix;
  int floor;
};

// A half floor: common/report stands on common/dataset, and common/nn may stand on both (docs/decisions/0002).
constexpr std::array kRooms = {
    Room{"common/base/", 0}, Room{"common/config/", 10},  Room{"common/io/", 10},    Room{"common/metrics/", 10},
    Room{"common/rpc/", 10}, Room{"common/dataset/", 20}, Room{"common/event/", 20}, Room{"common/report/", 25},
    Room{"common/nn/", 30},  Room{"coordinator/", 40},    Room{"labeler/", 40},      Room{"worker/", 40},
    Room{"cli/", 40},
};

struct Door {
  const char* library;
  const char* includes;  // of angle brackets, as a pattern
  const char* places;    // paths, as a pattern
};

constexpr std::array kDoors = {
    Door{"gRPC and Protobuf", "^(grpc|grpcpp|google/protobuf|google/rpc|ferment/v1|tensorboard)/.*",
         "^(common/rpc/|common/config/|coordinator/rpc/|coordinator/store/event_codec|labeler/grpc_lease_client|"
         "worker/grpc_run_client|worker/tensorboard/tensorboard_event|cli/).*"},
    Door{"Abseil, for what gRPC does", "^absl/.*", "^common/rpc/.*"},
    Door{"LibTorch", "^(torch|ATen|c10|caffe2)/.*",
         "^(common/nn/|labeler/torch_annotator|worker/feed/|worker/train/|worker/recipes/).*"},
    Door{"NCCL and CUDA", "^(nccl|cuda|cuda_runtime|cuda_runtime_api|cudnn)\\.h$",
         "^(worker/collective/nccl_collective|common/nn/inference/inference_plan).*"},
    Door{"MPI", "^mpi\\.h$", "^(worker/collective/mpi_collective|worker/trainer_main).*"},
    Door{"Boost", "^boost/.*", "^(common/event/|common/io/checksum|coordinator/launch/).*"},
    Door{"SQLite and libpq", "^(sqlite3\\.h|libpq-fe\\.h)$", "^coordinator/store/.*"},
    Door{"libjpeg-turbo", "^(jpeglib|turbojpeg|jerror|jmorecfg)\\.h$",
         "^common/dataset/pictures/jpeg_(decoder|encoder).*"},
    Door{"prometheus-cpp", "^prometheus/.*", "^common/metrics/prometheus_registry.*"},
    Door{"OpenSSL and libcurl", "^(openssl|curl)/.*", "^(common/io/|common/rpc/).*"},
    Door{"zlib", "^zlib\\.h$", "^(common/io/|common/dataset/pictures/png_(decoder|writer)).*"},
    Door{"yaml-cpp", "^yaml-cpp/.*", "^common/config/.*"},
    Door{"nlohmann/json", "^nlohmann/.*", "^common/base/json\\.h$"},
    Door{"spdlog", "^spdlog/.*", "^common/base/logging.*"},
    Door{"tl::expected", "^tl/.*", "^common/base/result\\.h$"},
    Door{"CLI11", "^CLI/.*", "^(cli/.*|common/config/flag_errors\\.(h|cc)|.*_main\\.cc)$"},
};

// What the operating system and the compiler bring.
constexpr const char* kPlatform =
    "^(sys/.*|netinet/.*|arpa/.*|linux/.*|net/"
    ".*|unistd\\.h|fcntl\\.h|signal\\.h|spawn\\.h|poll\\.h|errno\\.h|dirent\\.h|"
    "dlfcn\\.h|pthread\\.h|ifaddrs\\.h|sched\\.h|time\\.h|netdb\\.h|termios\\.h|pwd\\.h|immintrin\\.h|cpuid\\.h|"
    "malloc\\.h|stdio\\."
    "h|"
    "stdlib\\.h|string\\.h|setjmp\\.h|omp\\.h|ext/.*)$";

std::string Where(const SourceFile& file, std::size_t line) { return file.path + ":" + std::to_string(line) + ": "; }

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

struct Include {
  std::size_t line;
  std::string target;
  bool quoted;
};

std::vector<Include> IncludesOf(const SourceFile& file) {
  static const std::regex kInclude(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)re");
  std::vector<Include> includes;
  const std::vector<std::string> lines = Lines(file.text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    if (std::regex_match(lines[i], match, kInclude)) {
      includes.push_back({.line = i + 1, .target = match[2], .quoted = match[1] == "\""});
    }
  }
  return includes;
}

const Room* RoomOf(std::string_view path) {
  const auto* found =
      std::find_if(kRooms.begin(), kRooms.end(), [&](const Room& room) { return path.starts_with(room.prefix); });
  return found == kRooms.end() ? nullptr : found;
}

bool Matches(const std::string& text, const char* pattern) { return std::regex_match(text, std::regex(pattern)); }

bool IsStandard(const std::string& target) { return target.find_first_of("./") == std::string::npos; }

std::optional<std::string> DoorFinding(const SourceFile& file, const Include& include) {
  for (const Door& door : kDoors) {
    if (!Matches(include.target, door.includes)) continue;
    if (Matches(file.path, door.places)) return std::nullopt;
    return std::string(door.library) + " must not enter here: " + include.target;
  }
  if (include.quoted || IsStandard(include.target) || Matches(include.target, kPlatform)) return std::nullopt;
  return "this library has no door yet: " + include.target;
}

/// Returns: whether it was made of a .proto: its door is checked with the libraries'.
bool IsGenerated(const std::string& target) {
  return Matches(target, R"(^(ferment/v1|google/rpc|tensorboard)/.*\.pb\.h$)");
}

void HeaderFindings(const SourceFile& file, const std::vector<std::string>& lines, std::vector<std::string>& findings) {
  const bool has_purpose = lines.size() > 2 && lines[1] == "//" && lines[2].starts_with("// ") && lines[2].size() > 12;
  if (!has_purpose) findings.push_back(Where(file, 2) + "a header opens with //, then its purpose in one sentence");
  const auto first_code =
      std::find_if(lines.begin(), lines.end(), [](const std::string& line) { return !line.starts_with("//"); });
  if (first_code == lines.end() || *first_code != "#pragma once") {
    findings.push_back(file.path + ": #pragma once comes right after the opening comment");
  }
}

}  // namespace

std::vector<std::string> FloorFindings(const SourceFile& file) {
  std::vector<std::string> findings;
  const Room* home = RoomOf(file.path);
  if (home == nullptr) return findings;
  for (const Include& include : IncludesOf(file)) {
    if (!include.quoted) continue;
    if (IsGenerated(include.target)) continue;
    const Room* other = RoomOf(include.target);
    const std::string where = Where(file, include.line);
    if (other == nullptr) {
      findings.push_back(where + "includes are written from the repository root: " + include.target);
    } else if (other->floor > home->floor) {
      findings.push_back(where + "a higher floor: " + include.target);
    } else if (other->floor == home->floor && other->prefix != home->prefix) {
      findings.push_back(where + "a neighbour on the same floor: " + include.target);
    } else if (other->prefix == "common/nn/" && (home->prefix == "coordinator/" || home->prefix == "cli/")) {
      findings.push_back(where + "this program links no LibTorch: " + include.target);
    }
  }
  return findings;
}

std::vector<std::string> DoorFindings(const SourceFile& file) {
  std::vector<std::string> findings;
  for (const Include& include : IncludesOf(file)) {
    if (const auto finding = DoorFinding(file, include)) findings.push_back(Where(file, include.line) + *finding);
  }
  return findings;
}

std::vector<std::string> FormFindings(const SourceFile& file) {
  static const std::regex kLater(R"(.*\b(TO(DO)|FIX(ME)|XX(X))\b.*)");
  static const std::regex kLaterWithIssue(R"(.*\bTO(DO)\(#[0-9]+\).*)");
  std::vector<std::string> findings;
  const std::vector<std::string> lines = Lines(file.text);
  const std::filesystem::path path(file.path);
  if (lines.empty() || lines[0] != "// SPDX-License-Identifier: Apache-2.0") {
    findings.push_back(Where(file, 1) + "line 1 is the SPDX tag");
  }
  if (path.extension() == ".h") HeaderFindings(file, lines, findings);
  if (path.extension() == ".cc" && lines.size() > 1 && lines[1].starts_with("//")) {
    findings.push_back(Where(file, 2) + "a source has no opening comment: its header speaks for it");
  }
  if (Matches(path.extension().string(), R"(\.(hpp|hh|cpp|cxx|c))"))
    findings.push_back(file.path + ": suffixes are .h and .cc");
  if (Matches(path.stem().string(), R"((.*_)?(utils?|helpers?|misc|manager))")) {
    findings.push_back(file.path + ": this name does not say what is inside");
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (std::regex_match(lines[i], kLater) && !std::regex_match(lines[i], kLaterWithIssue)) {
      findings.push_back(Where(file, i + 1) + "a note for later names its issue");
    }
  }
  return findings;
}

std::vector<std::string> TestsOf(const SourceFile& file) {
  static const std::regex kTest(R"(\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\))");
  static const std::regex kCtest(R"(\badd_test\(NAME (\w+)\.(\w+)\b)");
  std::vector<std::string> tests;
  const std::regex& pattern = file.path.ends_with(".txt") ? kCtest : kTest;
  for (std::sregex_iterator found(file.text.begin(), file.text.end(), pattern), end; found != end; ++found) {
    tests.push_back((*found)[1].str() + '.' + (*found)[2].str());
  }
  return tests;
}

std::vector<std::string> NamedTestFindings(const SourceFile& page, const std::set<std::string>& tests) {
  static const std::regex kName(R"(`(?:\w+/)?([A-Z]\w*[a-z]\w*\.)([A-Z]\w*)?(\*|\.\.\.)?`)");
  std::vector<std::string> findings;
  const std::vector<std::string> lines = Lines(page.text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (std::sregex_iterator found(lines[i].begin(), lines[i].end(), kName), end; found != end; ++found) {
      const std::string name = (*found)[1].str() + (*found)[2].str();
      const auto first = tests.lower_bound(name);
      const bool is_there = first != tests.end() && ((*found)[3].matched ? first->starts_with(name) : *first == name);
      if (!is_there) findings.push_back(Where(page, i + 1) + "no such test: " + found->str());
    }
  }
  return findings;
}

std::vector<std::string> RepeatedNames(const std::vector<std::string>& paths) {
  std::map<std::string, std::string> first;
  std::vector<std::string> findings;
  for (const std::string& path : paths) {
    const auto [found, fresh] = first.try_emplace(std::filesystem::path(path).filename().string(), path);
    if (!fresh) findings.push_back(path + ": has the name of " + found->second);
  }
  return findings;
}

}  // namespace ferment::layers
