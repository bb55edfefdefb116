// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/message_differencer.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "common/base/whole_number.h"
#include "common/config/spec_checks.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_reader.h"
#include "common/rpc/listen_address.h"

namespace ferment {
namespace {

Result<LoadedSpec> LoadOver(std::string_view text, std::span<const SpecOverride> overrides) {
  LoadedSpec loaded{.spec = {}, .origins = {}, .file = "fuzzed.yaml"};
  SpecFaults faults;
  SpecReader reader(loaded, faults);
  reader.ReadText(text);
  reader.ReadOverrides(overrides);
  reader.CheckRequired();
  FillDefaults(loaded.spec);
  CheckValues(loaded, faults);
  CheckSources(loaded, faults);
  FERMENT_RETURN_IF_ERROR(faults.ToStatus());
  return loaded;
}

/// Each line is the value of a --set.
void CheckOverrides(const std::string& text) {
  std::istringstream lines(text);
  std::vector<std::string> flags;
  for (std::string line; std::getline(lines, line);) flags.push_back(line);
  const auto overrides = ParseOverrides(flags);
  if (!overrides) return;
  const auto loaded = LoadOver("name: fuzzed\n", *overrides);
  if (!loaded) {
    FERMENT_CHECK(ProcessExitCode(loaded.error()) == exit_code::kBadSpec) << loaded.error().message();
    return;
  }
  const std::string yaml = SpecToYaml(loaded->spec);
  const auto again = LoadOver(yaml, {});
  FERMENT_CHECK(again.has_value()) << again.error().message() << "\n" << yaml;
  FERMENT_CHECK(google::protobuf::util::MessageDifferencer::Equals(loaded->spec, again->spec)) << yaml;
}

void CheckAddress(const std::string& text) {
  const auto address = rpc::ParseListenAddress(text);
  if (!address) return;
  const auto again = rpc::ParseListenAddress(address->ToString());
  FERMENT_CHECK(again && again->host == address->host && again->port == address->port) << address->ToString();
}

}  // namespace
}  // namespace ferment

// Any bytes as words of a command line: --set over a spec reads back from what the writer makes of it, and an address
// from its own text; a number is one that the flag may be.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  ferment::CheckOverrides(text);
  ferment::CheckAddress(text);
  if (ferment::WholeNumber(1, 1000)(text).empty()) {
    const int number = std::stoi(text);
    FERMENT_CHECK(number >= 1 && number <= 1000 && std::to_string(number) == text) << text;
  }
  return 0;
}
