// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_checks.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <set>
#include <string>

#include "common/config/spec_defaults.h"
#include "common/config/spec_reader.h"
#include "common/config/spec_value.h"

namespace ferment {
namespace {

// Says what is wrong with the first key, at the place of whichever was not left to its default.
class Judge {
 public:
  Judge(const LoadedSpec& loaded, SpecFaults& faults) : loaded_(loaded), faults_(faults) {}

  void Require(bool fits, std::initializer_list<std::string> keys, const std::string& what) {
    if (fits || std::ranges::any_of(keys, [&](const std::string& key) { return faults_.Has(key); })) return;
    SpecOrigin origin;
    for (const std::string& key : keys) {
      const auto found = loaded_.origins.find(key);
      if (origin.kind == SpecOrigin::Kind::kDefault && found != loaded_.origins.end()) origin = found->second;
    }
    if (origin.kind == SpecOrigin::Kind::kDefault) {
      origin = {.kind = SpecOrigin::Kind::kFile, .source = loaded_.file.string(), .line = 1, .column = 1};
    }
    faults_.Add(origin, *keys.begin(), what);
  }

 private:
  const LoadedSpec& loaded_;
  SpecFaults& faults_;
};

std::string Number(std::uint32_t value) { return std::to_string(value); }

void CheckName(const RunSpec& spec, Judge& judge) {
  constexpr std::size_t kLongest = 128;
  const std::string& name = spec.name();
  const bool is_folder = name.find('/') == std::string::npos && !name.starts_with('.') && name.size() <= kLongest;
  judge.Require(is_folder, {"name"},
                ShowText(name) + " does not name a folder; allowed: at most 128 bytes, no /, no dot in front");
}

void CheckClasses(const RunSpec& spec, Judge& judge) {
  std::set<std::string> seen;
  for (const std::string& name : spec.classes()) {
    std::string lower = name;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    judge.Require(seen.insert(lower).second, {"classes"}, ShowText(name) + " stands in the list twice");
  }
  judge.Require(spec.classes_size() >= 2, {"classes"},
                "a single class leaves nothing to tell apart; allowed: 2 to 8 classes");
}

void CheckTemporal(const v1::TemporalSpec& temporal, Judge& judge) {
  const std::uint32_t width = temporal.d_model();
  const std::uint32_t heads = temporal.heads();
  if (temporal.encoder() == "transformer" && width % heads != 0) {
    std::string divisors;
    for (std::uint32_t n = 1; n <= std::min(width, 64U); ++n) {
      if (width % n == 0) divisors += (divisors.empty() ? "" : ", ") + Number(n);
    }
    judge.Require(false, {"temporal.heads", "temporal.d_model"},
                  Number(heads) + " does not divide temporal.d_model " + Number(width) + "; allowed: " + divisors);
  }
  judge.Require(temporal.hop() <= temporal.window(), {"temporal.hop", "temporal.window"},
                Number(temporal.hop()) + " skips frames between windows; allowed: at most temporal.window " +
                    Number(temporal.window()));
}

void CheckPlacement(const RunSpec& spec, Judge& judge) {
  if (spec.cotrain().placement() != "split") {
    judge.Require(spec.cotrain().feedback().max_lag() == 0, {"cotrain.feedback.max_lag", "cotrain.placement"},
                  "feedback of an earlier step is for cotrain.placement split; allowed without it: 0");
    return;
  }
  const std::uint32_t ranks = spec.resources().ranks();
  judge.Require(ranks >= 2, {"cotrain.placement", "resources.ranks"},
                "split needs a rank for the teacher and one for the student; resources.ranks is " + Number(ranks) +
                    ", allowed: 2 or more");
  const v1::PlacementRanks& groups = spec.cotrain().placement_ranks();
  const std::uint64_t sum = std::uint64_t{groups.teacher()} + groups.student();
  judge.Require(
      ranks < 2 || sum == ranks,
      {"cotrain.placement_ranks.teacher", "cotrain.placement_ranks.student", "resources.ranks", "cotrain.placement"},
      Number(groups.teacher()) + " and " + Number(groups.student()) + " for the student make " + std::to_string(sum) +
          "; allowed: a sum of resources.ranks " + Number(ranks));
}

void CheckTeacherLimits(const v1::LabelingSpec& labeling, Judge& judge) {
  judge.Require(labeling.min_accuracy() == 0 || labeling.canary_share() > 0,
                {"labeling.canary_share", "labeling.min_accuracy"},
                "0 leaves labeling.min_accuracy " + NumberText(labeling.min_accuracy()) +
                    " nothing to measure; allowed: above 0, or labeling.min_accuracy 0");
  judge.Require(labeling.max_acceptance() == 0 || labeling.min_acceptance() <= labeling.max_acceptance(),
                {"labeling.min_acceptance", "labeling.max_acceptance"},
                NumberText(labeling.min_acceptance()) +
                    " stops every teacher; allowed: at most labeling.max_acceptance " +
                    NumberText(labeling.max_acceptance()));
}

/// What the schema offers and this version does not do: told before anything is started.
void CheckOffered(const LoadedSpec& loaded, Judge& judge) {
  const RunSpec& spec = loaded.spec;
  const bool on_gpus = LabelsOnGpus(spec);
  judge.Require(spec.labeling().plan() != (on_gpus ? "int8" : "bf16"),
                {"labeling.plan", "labeling.device", "resources.device"},
                ShowText(spec.labeling().plan()) + " is not in this version for labels made on " +
                    (on_gpus ? "GPUs; allowed: auto | fp32 | bf16" : "CPUs; allowed: auto | fp32 | int8"));
  const std::string& launcher = spec.resources().launcher();
  judge.Require(launcher != "kubernetes", {"resources.launcher"},
                ShowText(launcher) + " is not in this version; allowed: local | slurm");
  // The default is of this machine's cores.
  const auto threads = loaded.origins.find("resources.threads_per_rank");
  const bool said = threads != loaded.origins.end() && threads->second.kind != SpecOrigin::Kind::kDefault;
  judge.Require(launcher != "slurm" || said, {"resources.threads_per_rank", "resources.launcher"},
                "how many cores a rank shall get of a machine that is not known yet must be said with "
                "resources.launcher slurm; allowed: 1 to 1024");
}

/// An object store holds packs of unlabelled faces alone: nothing else is read by range.
void CheckObjectPlaces(const RunSpec& spec, Judge& judge) {
  const v1::DataSpec& data = spec.data();
  const auto stays_here = [&judge](const std::string& key, const std::string& path) {
    judge.Require(!IsObjectPlace(path), {key},
                  ShowText(path) + " is in an object store; of all paths only data.fr.path may be there");
  };
  stays_here("data.root", data.root());
  for (int i = 0; i < data.fer_size(); ++i)
    stays_here(i == 0 ? "data.fer.path" : "data.fer[" + std::to_string(i) + "].path", data.fer(i).path());
  stays_here("data.videos.path", data.videos().path());
  stays_here("model.init", spec.model().init());
  stays_here("labeling.truth", spec.labeling().truth());
  judge.Require(!IsObjectPlace(data.fr().path()) || data.fr().format() == "insightface",
                {"data.fr.format", "data.fr.path"},
                ShowText(data.fr().format()) + " cannot be read from an object store; allowed there: insightface");
}

}  // namespace

void CheckValues(const LoadedSpec& loaded, SpecFaults& faults) {
  Judge judge(loaded, faults);
  CheckName(loaded.spec, judge);
  CheckClasses(loaded.spec, judge);
  CheckTemporal(loaded.spec.temporal(), judge);
  CheckPlacement(loaded.spec, judge);
  CheckTeacherLimits(loaded.spec.labeling(), judge);
  CheckOffered(loaded, judge);
  CheckObjectPlaces(loaded.spec, judge);
}

Status CheckMessage(const RunSpec& spec) {
  LoadedSpec loaded{.spec = {}, .origins = {}, .file = "spec"};
  SpecFaults faults;
  SpecReader(loaded, faults).ReadText(SpecToYaml(spec));
  Judge judge(loaded, faults);
  CheckName(loaded.spec, judge);
  return faults.ToStatus();
}

void CheckSources(const LoadedSpec& loaded, SpecFaults& faults) {
  if (UsesSyntheticSets(loaded.spec)) return;
  Judge judge(loaded, faults);
  const v1::DataSpec& data = loaded.spec.data();
  const std::string together =
      "; a run needs data.fer and data.fr.path, or neither with data.videos absent (then sets are rendered)";
  judge.Require(!data.fer().empty(), {"data.fer", "data.fr.path", "data.videos.path"}, "no labelled faces" + together);
  judge.Require(!data.fr().path().empty(), {"data.fr.path", "data.fer.path", "data.videos.path"},
                "no unlabelled faces" + together);
}

}  // namespace ferment
