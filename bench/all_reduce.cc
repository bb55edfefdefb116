// SPDX-License-Identifier: Apache-2.0
#include <mpi.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "worker/collective/mpi_collective.h"

// Sums one long buffer over the ranks of this host, by the trainer's collective and by OpenMPI's own, in turn, and says
// as JSON how long each sum took on the slowest rank. tools/bench_all_reduce.py runs it beside gloo.
namespace ferment::worker {
namespace {

struct Options {
  std::size_t bytes = 94'000'000;
  int rounds = 15;
};

/// Returns: seconds from the first rank's start to the last rank's end.
template <typename Sum>
double Timed(const Sum& sum) {
  MPI_Barrier(MPI_COMM_WORLD);
  const auto began = std::chrono::steady_clock::now();
  sum();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return seconds;
}

int Run(const Options& options) {
  auto shared = MakeMpiCollective(std::chrono::seconds(60));
  auto plain = MakeMpiCollective(std::chrono::seconds(60), HostMemory::kUnused);
  if (!shared || !plain) return 1;
  std::vector<float> values(options.bytes / sizeof(float), 1.0F);
  const auto count = static_cast<int>(values.size());
  std::map<std::string, std::vector<double>> seconds;
  bool good = true;
  for (int round = 0; round < options.rounds; ++round) {
    seconds["ferment"].push_back(Timed([&] { good = good && (*shared)->AllReduceSum(std::span<float>(values)).ok(); }));
    seconds["ferment between hosts"].push_back(
        Timed([&] { good = good && (*plain)->AllReduceSum(std::span<float>(values)).ok(); }));
    seconds["MPI_Allreduce"].push_back(
        Timed([&] { MPI_Allreduce(MPI_IN_PLACE, values.data(), count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }));
    std::fill(values.begin(), values.end(), 1.0F);
  }
  if ((*shared)->rank() == 0) std::cout << Json(seconds).dump() << std::endl;
  return good ? 0 : 1;
}

int Main(int argc, char** argv) {
  int level = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  Options options;
  CLI::App app("Times sums over the ranks of one host.", "all_reduce");
  app.add_option("--bytes", options.bytes);
  app.add_option("--rounds", options.rounds);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  const int code = Run(options);
  MPI_Finalize();
  return code;
}

}  // namespace
}  // namespace ferment::worker

int main(int argc, char** argv) { return ferment::worker::Main(argc, argv); }
