// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_loader.h"

#include <google/protobuf/message.h>

#include <fstream>
#include <functional>
#include <system_error>

#include "common/config/spec_checks.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_faults.h"
#include "common/config/spec_reader.h"
#include "common/config/spec_value.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

namespace fs = std::filesystem;
using google::protobuf::Message;

Result<std::string> ReadSpecFile(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  const std::string shown = "path=" + file.string();
  if (status.type() == fs::file_type::not_found) {
    return Fail(NotFoundError("no such spec file: " + shown).WithExitCode(exit_code::kBadSpec));
  }
  if (status.type() == fs::file_type::directory) {
    return Fail(InvalidArgumentError("the spec is a folder, not a file: " + shown).WithExitCode(exit_code::kBadSpec));
  }
  std::ifstream stream(file, std::ios::binary);
  std::string text(kMaxSpecBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.is_open() || stream.bad()) {
    return Fail(InvalidArgumentError("the spec file cannot be read: " + shown).WithExitCode(exit_code::kBadSpec));
  }
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

fs::path Absolute(const fs::path& path, const fs::path& base) {
  fs::path normal = (base / path).lexically_normal();
  return normal.has_filename() || normal == normal.root_path() ? normal : normal.parent_path();
}

fs::path WorkingFolder() {
  std::error_code error;
  return fs::current_path(error);
}

fs::path SpecFolder(const LoadedSpec& loaded) { return Absolute(loaded.file, WorkingFolder()).parent_path(); }

bool FromFile(const LoadedSpec& loaded, const std::string& key) {
  const auto origin = loaded.origins.find(key);
  return origin == loaded.origins.end() || origin->second.kind == SpecOrigin::Kind::kFile;
}

// Makes every path of the given base absolute.
void ResolvePaths(Message& message, v1::PathBase base, const std::function<fs::path(const SpecField&)>& base_folder) {
  const auto* const reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const SpecField& field = *message.GetDescriptor()->field(i);
    const v1::FieldRule& rule = RuleOf(field);
    if (IsSectionList(field)) {
      for (int k = 0; k < reflection->FieldSize(message, &field); ++k) {
        ResolvePaths(*reflection->MutableRepeatedMessage(&message, &field, k), base, base_folder);
      }
    } else if (IsSection(field)) {
      if (reflection->HasField(message, &field))
        ResolvePaths(*reflection->MutableMessage(&message, &field), base, base_folder);
    } else if (rule.path() == base && base != v1::PATH_BASE_UNSPECIFIED && reflection->HasField(message, &field)) {
      const std::string path = reflection->GetString(message, &field);
      if (rule.has_default_value() && path == rule.default_value()) continue;
      if (IsObjectPlace(path)) continue;
      reflection->SetString(&message, &field, Absolute(path, base_folder(field)).string());
    }
  }
}

void ResolveAllPaths(LoadedSpec& loaded) {
  ResolvePaths(loaded.spec, v1::PATH_BASE_SPEC_FOLDER,
               [&](const SpecField&) { return FromFile(loaded, "data.root") ? SpecFolder(loaded) : WorkingFolder(); });
  const fs::path root = loaded.spec.data().has_root() ? fs::path(loaded.spec.data().root()) : SpecFolder(loaded);
  ResolvePaths(loaded.spec, v1::PATH_BASE_DATA_ROOT, [&](const SpecField&) { return root; });
}

// The other group has the ranks that one leaves; without either, half each and the odd one to the teacher.
void DecidePlacement(RunSpec& spec) {
  if (spec.cotrain().placement() != "split" || spec.resources().ranks() < 2) return;
  const std::uint32_t ranks = spec.resources().ranks();
  v1::PlacementRanks& groups = *spec.mutable_cotrain()->mutable_placement_ranks();
  const auto rest = [&](std::uint32_t taken) { return taken < ranks ? ranks - taken : 1U; };
  if (!groups.has_teacher()) groups.set_teacher(groups.has_student() ? rest(groups.student()) : (ranks + 1) / 2);
  if (!groups.has_student()) groups.set_student(rest(groups.teacher()));
}

void Decide(LoadedSpec& loaded) {
  RunSpec& spec = loaded.spec;
  if (!spec.has_name()) spec.set_name(loaded.file.stem().string());
  if (!spec.data().has_root()) spec.mutable_data()->set_root(SpecFolder(loaded).string());
  DecidePlacement(spec);
}

}  // namespace

std::string SpecOrigin::ToString() const {
  if (kind == Kind::kDefault) return "default";
  if (kind != Kind::kFile) return source;
  return source + ":" + std::to_string(line) + ":" + std::to_string(column);
}

Result<LoadedSpec> LoadSpec(const fs::path& file, std::span<const SpecOverride> overrides) {
  FERMENT_ASSIGN_OR_RETURN(const std::string text, ReadSpecFile(file));
  LoadedSpec loaded{.spec = {}, .origins = {}, .file = file};
  SpecFaults faults;
  SpecReader reader(loaded, faults);
  reader.ReadText(text);
  reader.ReadEnvironment();
  reader.ReadOverrides(overrides);
  reader.CheckRequired();
  FillDefaults(loaded.spec);
  Decide(loaded);
  ResolveAllPaths(loaded);
  CheckValues(loaded, faults);
  CheckSources(loaded, faults);
  FERMENT_RETURN_IF_ERROR(faults.ToStatus());
  return loaded;
}

Result<RunSpec> LoadResolvedSpec(const fs::path& file) {
  FERMENT_ASSIGN_OR_RETURN(const std::string text, ReadSpecFile(file));
  LoadedSpec loaded{.spec = {}, .origins = {}, .file = file};
  SpecFaults faults;
  SpecReader reader(loaded, faults);
  reader.ReadText(text);
  reader.CheckRequired();
  FillDefaults(loaded.spec);
  ResolveAllPaths(loaded);
  CheckValues(loaded, faults);
  FERMENT_RETURN_IF_ERROR(faults.ToStatus());
  return std::move(loaded.spec);
}

Result<std::vector<SpecOverride>> ParseOverrides(std::span<const std::string> flags) {
  std::vector<SpecOverride> overrides;
  for (const std::string& flag : flags) {
    const std::size_t equals = flag.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Fail(InvalidArgumentError("--set " + flag + ": expected KEY=VALUE, such as --set cotrain.steps=50")
                      .WithExitCode(exit_code::kBadSpec));
    }
    overrides.push_back({flag.substr(0, equals), flag.substr(equals + 1)});
  }
  return overrides;
}

}  // namespace ferment
