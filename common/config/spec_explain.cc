// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_explain.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "common/config/spec_schema.h"
#include "common/config/spec_value.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

using google::protobuf::Message;

Json ValueAsJson(const Message& message, const SpecField& field) {
  const auto* const reflection = message.GetReflection();
  if (field.is_repeated()) {
    Json entries = Json::array();
    for (int i = 0; i < reflection->FieldSize(message, &field); ++i) {
      entries.push_back(reflection->GetRepeatedString(message, &field, i));
    }
    return entries;
  }
  if (!reflection->HasField(message, &field)) return nullptr;
  switch (field.cpp_type()) {
    case SpecField::CPPTYPE_UINT32:
      return reflection->GetUInt32(message, &field);
    case SpecField::CPPTYPE_UINT64:
      return reflection->GetUInt64(message, &field);
    case SpecField::CPPTYPE_DOUBLE:
      return reflection->GetDouble(message, &field);
    case SpecField::CPPTYPE_BOOL:
      return reflection->GetBool(message, &field);
    default:
      return reflection->GetString(message, &field);
  }
}

std::string ValueAsText(const Json& value) {
  if (value.is_null()) return "none";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return NumberText(value.get<double>());
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const Json& entry : value) text += (text.empty() ? "" : ", ") + ValueAsText(entry);
  return text;
}

class Explainer {
 public:
  explicit Explainer(const LoadedSpec& loaded) : loaded_(loaded) {}

  void Explain(const Message& message, const std::string& key) {
    const auto* const reflection = message.GetReflection();
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const SpecField& field = *message.GetDescriptor()->field(i);
      const std::string field_key = JoinKey(key, KeyOf(field));
      if (IsSectionList(field)) {
        ExplainList(message, field, field_key);
      } else if (IsSection(field)) {
        Explain(reflection->GetMessage(message, &field), field_key);
      } else {
        values_.push_back(
            {field_key, ValueAsJson(message, field), OriginOf(field_key), AllowedText(field), RuleOf(field).about()});
      }
    }
  }

  std::vector<ExplainedValue> Finish() && { return std::move(values_); }

 private:
  void ExplainList(const Message& message, const SpecField& field, const std::string& key) {
    const auto* const reflection = message.GetReflection();
    const int size = reflection->FieldSize(message, &field);
    if (size == 0) {
      Explain(*google::protobuf::MessageFactory::generated_factory()->GetPrototype(field.message_type()), key);
    }
    for (int i = 0; i < size; ++i)
      Explain(reflection->GetRepeatedMessage(message, &field, i), EntryKey(key, static_cast<std::size_t>(i)));
  }

  SpecOrigin OriginOf(const std::string& key) const {
    const auto origin = loaded_.origins.find(key);
    return origin == loaded_.origins.end() ? SpecOrigin{} : origin->second;
  }

  const LoadedSpec& loaded_;
  std::vector<ExplainedValue> values_;
};

// Code points, which is what a terminal's columns count for the texts at hand.
std::size_t Columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

/// The next cell begins at column `next`, or two blanks after a text that reaches past it.
void AppendPadded(std::string& line, const std::string& text, std::size_t next) {
  line += text + "  ";
  const std::size_t end = Columns(line);
  line.append(next > end ? next - end : 0, ' ');
}

/// The spec is one file, so that its name will do where its path would push all else aside.
std::string ShortOrigin(SpecOrigin origin) {
  if (origin.kind == SpecOrigin::Kind::kFile) origin.source = std::filesystem::path(origin.source).filename().string();
  return origin.ToString();
}

std::string MarkdownCell(std::string text) {
  for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.insert(at, "\\");
  return text;
}

std::string ReferenceRow(const SpecField& field, const std::string& key) {
  const v1::FieldRule& rule = RuleOf(field);
  const std::string missing = rule.may_be_absent() ? "none" : "required";
  return "| `" + key + "` | " + MarkdownCell(rule.has_default_value() ? rule.default_value() : missing) + " | " +
         MarkdownCell(AllowedText(field)) + " | " + MarkdownCell(rule.about()) + " |\n";
}

constexpr std::string_view kTableHead = "\n| key | default | allowed | meaning |\n|---|---|---|---|\n";

constexpr std::string_view kReferenceHead =
    R"(# The spec

One YAML file describes a run. This page is printed by `ferment config reference` from `proto/ferment/v1/run_spec.proto`, the schema that
loader, gRPC and this page share: change it there, then print the page anew.

```yaml
apiVersion: ferment/v1
data:
  fer: {path: fer, train: train.csv, validation: val.csv}   # one source, or a list of them
  fr: {path: fr}
cotrain: {steps: 400, feedback: {form: exact}}
```

- A value comes from `--set KEY=VALUE` (keys dotted, as below), else from the environment (`FERMENT_` and the key in capitals with `_` for the dots:
  `FERMENT_COTRAIN_STEPS`), else from the file, else it is the default. `ferment config explain SPEC` shows which.
- `data.fer` may be a list; `data.fer.path` is the first source's, `data.fer[1].path` the second's. A list on the command line: `--set classes=Neutral,Happiness`.
- `none` (or an empty value) takes away what may be absent, such as `--set data.videos=none`.
- Relative paths start from `data.root`. A relative `data.root` starts from the spec's folder; on `--set` and in the environment, from the working folder.
- `data.fr.path` may be `s3://BUCKET/PREFIX/`, a pack in an object store ([operations](operations.md#packs-and-label-sets-in-an-object-store)); no other path may.
- Without `data.fer`, `data.fr.path` and `data.videos` the run renders its own sets (`data.synthetic`).
- Unknown keys, keys given twice, wrong types, values out of range and values that contradict each other are told all at once, each as
  `file:line:column: key: what is wrong`, with exit code 64. Nothing is started. A file has at most 1 MiB and 32 levels.
)";

}  // namespace

std::vector<ExplainedValue> ExplainSpec(const LoadedSpec& loaded) {
  Explainer explainer(loaded);
  explainer.Explain(loaded.spec, "");
  return std::move(explainer).Finish();
}

std::string ExplainAsTable(const LoadedSpec& loaded) {
  // A longer cell takes room from the next ones of its row, not from every row.
  constexpr std::array<std::size_t, 4> kWidest = {36, 14, 18, 26};
  std::vector<std::array<std::string, 5>> rows = {{"KEY", "VALUE", "FROM", "ALLOWED", "MEANING"}};
  for (const ExplainedValue& value : ExplainSpec(loaded)) {
    rows.push_back({value.key, ValueAsText(value.value), ShortOrigin(value.origin), value.allowed, value.about});
  }
  std::array<std::size_t, 4> next{};
  for (std::size_t i = 0; i < next.size(); ++i) {
    std::size_t width = 0;
    for (const auto& row : rows) width = std::max(width, Columns(row[i]));
    next[i] = (i == 0 ? 0 : next[i - 1]) + std::min(width, kWidest[i]) + 2;
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < next.size(); ++i) AppendPadded(line, row[i], next[i]);
    table += line + row.back() + "\n";
  }
  return table;
}

Json ExplainAsJson(const LoadedSpec& loaded) {
  Json values = Json::array();
  for (const ExplainedValue& value : ExplainSpec(loaded)) {
    values.push_back({{"key", value.key},
                      {"value", value.value},
                      {"from", value.origin.ToString()},
                      {"allowed", value.allowed},
                      {"meaning", value.about}});
  }
  return {{"spec", loaded.file.string()}, {"values", std::move(values)}};
}

std::string SpecReference() {
  std::string page(kReferenceHead);
  const SpecMessage& root = *RunSpec::descriptor();
  page += "\n## Top level\n" + std::string(kTableHead);
  for (int i = 0; i < root.field_count(); ++i) {
    const SpecField& field = *root.field(i);
    if (field.cpp_type() == SpecField::CPPTYPE_MESSAGE) continue;
    page += ReferenceRow(field, std::string(KeyOf(field)));
  }
  for (int i = 0; i < root.field_count(); ++i) {
    const SpecField& field = *root.field(i);
    if (field.cpp_type() != SpecField::CPPTYPE_MESSAGE) continue;
    page += "\n## " + std::string(KeyOf(field)) + "\n\n" + RuleOf(field).about() + ".\n" + std::string(kTableHead);
    VisitSchema(*field.message_type(), KeyOf(field),
                [&](const SpecField& value, const std::string& key) { page += ReferenceRow(value, key); });
  }
  return page;
}

}  // namespace ferment
