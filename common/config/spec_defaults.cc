// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_defaults.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/usable_cores.h"
#include "common/config/spec_schema.h"
#include "common/config/spec_text.h"
#include "common/config/spec_value.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

using google::protobuf::Message;

void SetDefault(Message& message, const SpecField& field) {
  const v1::FieldRule& rule = RuleOf(field);
  if (!rule.has_default_value()) return;
  const auto set = [&](std::string_view text) {
    const Status status = SetValue(message, field, text, /*quoted=*/false);
    FERMENT_CHECK(status.ok()) << "the schema's default of " << field.full_name()
                               << " breaks its rule: " << status.message();
  };
  if (!field.is_repeated()) return set(rule.default_value());
  const SpecTree list = ParseSpecText(rule.default_value());
  for (const SpecChild& entry : list.root->children) set(entry.node->text);
}

void FillMessage(Message& message) {
  const auto* const reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const SpecField& field = *message.GetDescriptor()->field(i);
    if (IsSectionList(field)) {
      for (int k = 0; k < reflection->FieldSize(message, &field); ++k) {
        FillMessage(*reflection->MutableRepeatedMessage(&message, &field, k));
      }
    } else if (IsSection(field)) {
      if (reflection->HasField(message, &field) || !RuleOf(field).may_be_absent()) {
        FillMessage(*reflection->MutableMessage(&message, &field));
      }
    } else if (field.is_repeated() ? reflection->FieldSize(message, &field) == 0
                                   : !reflection->HasField(message, &field)) {
      SetDefault(message, field);
    }
  }
}

}  // namespace

RunSpec DefaultSpec() {
  RunSpec spec;
  FillDefaults(spec);
  return spec;
}

void FillDefaults(RunSpec& spec) {
  FillMessage(spec);
  v1::ResourcesSpec& resources = *spec.mutable_resources();
  if (!resources.has_threads_per_rank()) {
    const std::uint32_t cores = UsableCores();
    resources.set_threads_per_rank(std::clamp<std::uint32_t>(cores / std::max(resources.ranks(), 1U), 1, 1024));
  }
}

bool UsesSyntheticSets(const RunSpec& spec) {
  const v1::DataSpec& data = spec.data();
  return data.fer().empty() && data.fr().path().empty() && !data.has_videos();
}

}  // namespace ferment
