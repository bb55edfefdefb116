// SPDX-License-Identifier: Apache-2.0
#include "common/base/out_of_memory.h"

#include <unistd.h>

#include <new>
#include <string_view>

#include "common/base/status.h"

namespace ferment {
namespace {

constexpr std::string_view kLine =
    R"({"level":"error","msg":"out_of_memory","next":"the process ends; the next one goes on from what was saved"})"
    "\n";

[[noreturn]] void End() {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kLine.data(), kLine.size());
  _exit(exit_code::kKilled);
}

}  // namespace

void EndWhereMemoryIsOut() { std::set_new_handler(End); }

}  // namespace ferment
