// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/logging.h"
#include "tests/simulation/sim_cluster.h"

namespace ferment::simulation {
namespace {

constexpr int kViolated = 1;

struct Options {
  std::uint64_t first = 1;
  std::uint64_t count = 1;
  std::uint64_t stride = 1;
  std::uint64_t one = 0;
  std::string file;
  /// A mutant's run: one of these promises must be found broken.
  std::vector<std::string> expect;
  bool trace = false;
  bool twice = false;
  bool keep_going = false;
};

std::string program;
std::vector<std::string> expected;
std::uint64_t present_seed = 0;
/// What the process writes to standard error goes here, of the present seed only; -1 with --trace.
int log_file = -1;

void KeepLogApart() {
  FILE* file = std::tmpfile();
  if (file == nullptr) return;
  log_file = fileno(file);
  dup2(log_file, STDERR_FILENO);
}

void ForgetLog() {
  if (log_file < 0) return;
  if (ftruncate(log_file, 0) == 0) lseek(log_file, 0, SEEK_SET);
}

void PrintLog() {
  if (log_file < 0) return;
  std::array<char, 2'000> tail{};
  const off_t size = lseek(log_file, 0, SEEK_END);
  const ssize_t got =
      pread(log_file, tail.data(), tail.size(), std::max<off_t>(0, size - static_cast<off_t>(tail.size())));
  if (got > 0) std::fwrite(tail.data(), 1, static_cast<std::size_t>(got), stdout);
}

bool Expected(const std::string& promise) {
  return std::find(expected.begin(), expected.end(), promise) != expected.end();
}

/// A FERMENT_CHECK of the core ends the process; the seed must be known all the same.
void OnAbort(int) {
  PrintLog();
  std::printf("VIOLATED check seed=%llu: the core stopped itself\nreplay: %s --seed %llu --trace\n",
              static_cast<unsigned long long>(present_seed), program.c_str(),
              static_cast<unsigned long long>(present_seed));
  std::fflush(stdout);
  _exit(Expected("check") ? 0 : kViolated);
}

void Report(std::uint64_t seed, const Outcome& outcome) {
  std::printf("VIOLATED %s seed=%llu: %s\n", outcome.violation->promise.c_str(), static_cast<unsigned long long>(seed),
              outcome.violation->what.c_str());
  for (const std::string& line : outcome.last_lines) std::printf("  %s\n", line.c_str());
  std::printf("replay: %s --seed %llu --trace\n", program.c_str(), static_cast<unsigned long long>(seed));
}

/// Returns: the first promise that was broken, or "".
std::string RunSeed(const Options& options, std::uint64_t seed, std::uint64_t& lines) {
  present_seed = seed;
  ForgetLog();
  Outcome outcome = SimCluster(seed, options.trace).Run();
  lines += outcome.lines;
  if (options.twice && !outcome.violation) {
    const Outcome again = SimCluster(seed, false).Run();
    if (again.digest != outcome.digest) {
      outcome.violation = Violation{"determinism", "the same seed gave another history"};
    }
  }
  if (options.trace) {
    std::printf("digest=%016llx lines=%llu simulated_s=%.1f\n", static_cast<unsigned long long>(outcome.digest),
                static_cast<unsigned long long>(outcome.lines),
                std::chrono::duration<double>(outcome.simulated).count());
  }
  if (!outcome.violation) return "";
  Report(seed, outcome);
  return outcome.violation->promise;
}

int RunAll(const Options& options) {
  std::vector<std::uint64_t> seeds;
  if (!options.file.empty()) {
    std::ifstream in(options.file);
    for (std::string line; std::getline(in, line);) {
      if (!line.empty() && line[0] != '#') seeds.push_back(std::stoull(line));
    }
  } else if (options.one != 0) {
    seeds.push_back(options.one);
  } else {
    for (std::uint64_t i = 0; i < options.count; ++i) seeds.push_back(options.first + i * options.stride);
  }
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t lines = 0;
  std::uint64_t done = 0;
  std::uint64_t broken = 0;
  std::string promise;
  for (const std::uint64_t seed : seeds) {
    ++done;
    promise = RunSeed(options, seed, lines);
    if (promise.empty()) continue;
    ++broken;
    if (!options.keep_going) break;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("seeds=%llu violated=%llu lines=%llu seconds=%.1f seeds_per_second=%.1f\n",
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(broken),
              static_cast<unsigned long long>(lines), seconds, static_cast<double>(done) / seconds);
  if (!expected.empty()) {
    const bool caught = Expected(promise);
    std::printf("%s\n", caught ? "caught" : "NOT caught as it should be: strengthen the simulator or its oracle");
    return caught ? 0 : kViolated;
  }
  return broken == 0 ? 0 : kViolated;
}

int Main(int argc, char** argv) {
  Options options;
  program = argv[0];
  CLI::App app("The coordinator in simulated time: a seed is a history, and every promise is checked in it.");
  app.add_option("--seed", options.one, "Run this seed alone");
  app.add_option("--first", options.first, "The first of several seeds")->capture_default_str();
  app.add_option("--count", options.count, "How many seeds")->capture_default_str();
  app.add_option("--stride", options.stride, "From one seed to the next")->capture_default_str();
  app.add_option("--file", options.file, "Run the seeds of this file, one a line");
  app.add_option("--expect", options.expect, "Succeed only if one of these promises is found broken")->delimiter(',');
  app.add_flag("--trace", options.trace, "Print the whole history, and the coordinator's log");
  app.add_flag("--twice", options.twice, "Run each seed twice and compare the histories");
  app.add_flag("--keep-going", options.keep_going, "Do not end at the first violation");
  CLI11_PARSE(app, argc, argv);
  expected = options.expect;
  SetUpLogging({.program = "sim", .level = options.trace ? LogLevel::kInfo : LogLevel::kError});
  if (!options.trace) KeepLogApart();
  signal(SIGABRT, OnAbort);
  return RunAll(options);
}

}  // namespace
}  // namespace ferment::simulation

int main(int argc, char** argv) { return ferment::simulation::Main(argc, argv); }
