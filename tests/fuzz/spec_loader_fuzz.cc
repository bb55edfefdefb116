// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/message_differencer.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/config/spec_checks.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_explain.h"
#include "common/config/spec_reader.h"

namespace ferment {
namespace {

Result<LoadedSpec> LoadText(std::string_view text) {
  LoadedSpec loaded{.spec = {}, .origins = {}, .file = "fuzzed.yaml"};
  SpecFaults faults;
  SpecReader reader(loaded, faults);
  reader.ReadText(text);
  reader.CheckRequired();
  FillDefaults(loaded.spec);
  if (!loaded.spec.has_name()) loaded.spec.set_name("fuzzed");
  CheckValues(loaded, faults);
  CheckSources(loaded, faults);
  FERMENT_RETURN_IF_ERROR(faults.ToStatus());
  return loaded;
}

}  // namespace
}  // namespace ferment

// Any bytes as a spec: the loader ends, and a spec without a fault reads back equal from what the writer makes of it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using google::protobuf::util::MessageDifferencer;
  const auto loaded = ferment::LoadText({reinterpret_cast<const char*>(data), size});
  if (!loaded) return 0;
  ferment::ExplainAsTable(*loaded);
  const std::string yaml = ferment::SpecToYaml(loaded->spec);
  const auto again = ferment::LoadText(yaml);
  FERMENT_CHECK(again.has_value()) << again.error().message() << "\n" << yaml;
  FERMENT_CHECK(MessageDifferencer::Equals(loaded->spec, again->spec)) << yaml;
  return 0;
}
