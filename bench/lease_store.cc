// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <iostream>

#include "bench/lease_log.h"

namespace ferment::bench {
namespace {

int Main(int argc, char** argv) {
  LeaseLogOptions options;
  CLI::App app("Writes a coordinator's log.", "lease_store");
  app.add_option("--store", options.store, "SQLite file; must not exist")->required();
  app.add_option("--run-dir", options.run_dir, "The run's folder; is made")->required();
  app.add_option("--spec", options.spec)->required();
  app.add_option("--shards", options.shards)->capture_default_str();
  app.add_option("--committed", options.committed, "Shards with a result")->capture_default_str();
  app.add_option("--events", options.events, "Rows in all, by leases that expired")->capture_default_str();
  app.add_option("--past-runs", options.past_runs, "Runs that have ended, each with as many shards")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::cout << WriteLeaseLog(options) << std::endl;
  return 0;
}

}  // namespace
}  // namespace ferment::bench

int main(int argc, char** argv) { return ferment::bench::Main(argc, argv); }
