// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/affwild2_source.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <system_error>

#include "common/dataset/expression.h"
#include "common/dataset/text_lines.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

constexpr std::string_view kTextSuffix = ".txt";

/// Where the parts of one tree are.
struct Tree {
  std::filesystem::path root;
  std::vector<std::filesystem::path> batches;
  std::filesystem::path annotations;
};

std::vector<std::string> SubFolders(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->is_directory(error)) names.push_back(entry->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// Returns: the folder of Train_Set and Validation_Set of the EXPR challenge, at most three floors down.
std::filesystem::path FindAnnotations(const std::filesystem::path& folder, int floors) {
  std::error_code error;
  if (std::filesystem::is_directory(folder / "Train_Set", error) ||
      std::filesystem::is_directory(folder / "Validation_Set", error))
    return folder;
  if (floors == 0) return {};
  for (const std::string& name : SubFolders(folder)) {
    if (name.starts_with("cropped") || name.starts_with("VA_") || name.starts_with("AU_") || name.starts_with("batch"))
      continue;
    const auto found = FindAnnotations(folder / name, floors - 1);
    if (!found.empty()) return found;
  }
  return {};
}

Result<Tree> FindTree(const std::filesystem::path& path) {
  Tree tree = {path, {}, FindAnnotations(path, 3)};
  FERMENT_ASSIGN_OR_RETURN([[maybe_unused]] const auto listed, io::ListFolder(path));
  for (const std::string& prefix : {std::string("cropped_aligned"), std::string("cropped")}) {
    for (const std::string& name : SubFolders(path))
      if (name.starts_with(prefix)) tree.batches.push_back(path / name);
    if (!tree.batches.empty()) break;
  }
  if (tree.batches.empty())
    return Fail(NotFoundError("no folder cropped_aligned or cropped: path=" + path.string() +
                              "; data.videos.path names the folder that holds it"));
  if (tree.annotations.empty())
    return Fail(NotFoundError("no annotations (EXPR_Recognition_Challenge/Train_Set): path=" + path.string()));
  return tree;
}

Status CheckHeader(const std::filesystem::path& file, std::string_view header) {
  std::size_t position = 0;
  for (const std::string_view name : SplitFields(header, ',')) {
    const auto expression = ExpressionFromName(Trimmed(name));
    if (!expression || static_cast<std::size_t>(*expression) != position++) position = kExpressionNames.size() + 1;
  }
  if (position == kExpressionNames.size()) return {};
  return DataLossError("annotation lists other classes: file=" + file.string() + " line=1 header=\"" +
                       std::string(header.substr(0, 120)) +
                       "\"; expected Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other");
}

Status ReadAnnotation(const std::filesystem::path& file, const ClassMap& classes, Video& video) {
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(file));
  std::vector<std::string_view> lines = SplitLines(text);
  while (!lines.empty() && Trimmed(lines.back()).empty()) lines.pop_back();
  if (lines.empty()) {
    video.oddities.push_back("annotation file is empty");
    return {};
  }
  FERMENT_RETURN_IF_ERROR(CheckHeader(file, lines[0]));
  std::uint64_t invalid = 0;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string_view line = Trimmed(lines[i]);
    int value = -2;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    const bool valid = error == std::errc() && end == line.data() + line.size() && value >= -1 && value < 8;
    const auto label = valid && value >= 0 ? classes.FromExpression(value) : std::nullopt;
    invalid += valid ? 0 : 1;
    video.other_class += valid && value >= 0 && !label ? 1 : 0;
    video.labels.push_back(static_cast<std::int8_t>(label.value_or(-1)));
  }
  if (lines.size() == 1) video.oddities.push_back("annotation file holds the header line only");
  if (invalid > 0)
    video.oddities.push_back(std::to_string(invalid) + " label lines are not one of -1..7 and count as -1");
  if (video.other_class > 0)
    video.oddities.push_back(std::to_string(video.other_class) + " labels are of classes that the run does not have");
  return {};
}

void ReadFrames(const Tree& tree, Video& video) {
  std::error_code error;
  std::uint64_t foreign = 0;
  int batches = 0;
  for (const std::filesystem::path& batch : tree.batches) {
    const std::filesystem::path folder = batch / video.name;
    if (!std::filesystem::is_directory(folder, error)) continue;
    if (++batches > 1) {
      video.oddities.push_back("also in " + batch.filename().string() + ", which was passed over");
      continue;
    }
    foreign = dataset::ReadFrames(folder, video);
  }
  if (foreign > 0) video.oddities.push_back(std::to_string(foreign) + " files are no frames (NNNNN.jpg)");
}

void NoteOddities(Video& video) {
  if (video.folder.empty()) {
    video.oddities.push_back("annotated, but no folder of frames in any batch");
  } else {
    NoteGaps(video);
  }
}

Status AddAnnotated(const Tree& tree, VideoSet set, const ClassMap& classes, std::map<std::string, Video>& videos) {
  const std::filesystem::path folder = tree.annotations / (set == VideoSet::kTrain ? "Train_Set" : "Validation_Set");
  const auto names = io::ListFolder(folder);
  if (!names) return names.error().code() == StatusCode::kNotFound ? Status() : names.error();
  for (const std::string& file : *names) {
    if (!file.ends_with(kTextSuffix) || file.starts_with('.')) continue;
    Video video;
    video.name = file.substr(0, file.size() - kTextSuffix.size());
    video.set = set;
    FERMENT_RETURN_IF_ERROR(ReadAnnotation(folder / file, classes, video));
    ReadFrames(tree, video);
    NoteOddities(video);
    if (!videos.emplace(video.name, video).second)
      return DataLossError("video is in Train_Set and in Validation_Set: name=" + video.name +
                           " folder=" + tree.annotations.string());
  }
  return {};
}

/// Frame folders that no annotation names are the test videos, with those that a list of test videos or the sample file
/// names.
void AddTest(const Tree& tree, std::map<std::string, Video>& videos) {
  std::set<std::string> names;
  std::map<std::string, std::uint32_t> listed;
  for (const std::filesystem::path& batch : tree.batches)
    for (std::string& name : SubFolders(batch)) names.insert(std::move(name));
  if (const auto text = io::ReadTextFile(tree.root / "EXPR_test_set_videos.txt"))
    for (const std::string_view line : SplitLines(*text))
      if (!Trimmed(line).empty()) names.insert(std::string(Trimmed(line)));
  if (const auto text = io::ReadTextFile(tree.root / "EXPR_test_set_sample.txt")) {
    for (const std::string_view line : SplitLines(*text)) {
      const std::size_t slash = line.find('/');
      if (slash != std::string_view::npos && slash > 0) ++listed[std::string(line.substr(0, slash))];
    }
  }
  for (const auto& [name, rows] : listed) names.insert(name);
  for (const std::string& name : names) {
    if (videos.contains(name)) continue;
    Video video;
    video.name = name;
    video.set = VideoSet::kTest;
    const auto rows = listed.find(name);
    video.listed_frames = rows == listed.end() ? 0 : rows->second;
    ReadFrames(tree, video);
    if (video.folder.empty()) {
      video.oddities.push_back("listed as a test video, but no folder of frames in any batch");
    } else {
      NoteOddities(video);
    }
    videos.emplace(name, std::move(video));
  }
}

void NoteLonePartners(std::map<std::string, Video>& videos) {
  for (auto& [name, video] : videos) {
    std::string partner;
    if (name.ends_with("_left")) partner = name.substr(0, name.size() - 4) + "right";
    if (name.ends_with("_right")) partner = name.substr(0, name.size() - 5) + "left";
    if (!partner.empty() && !videos.contains(partner)) video.oddities.push_back("no partner " + partner);
  }
}

}  // namespace

Result<std::vector<Video>> LoadAffWild2(const std::filesystem::path& path, const std::vector<std::string>& classes) {
  FERMENT_ASSIGN_OR_RETURN(const Tree tree, FindTree(path));
  const ClassMap map(classes);
  std::map<std::string, Video> by_name;
  FERMENT_RETURN_IF_ERROR(AddAnnotated(tree, VideoSet::kTrain, map, by_name));
  FERMENT_RETURN_IF_ERROR(AddAnnotated(tree, VideoSet::kValidation, map, by_name));
  AddTest(tree, by_name);
  NoteLonePartners(by_name);
  std::vector<Video> videos;
  for (auto& entry : by_name) videos.push_back(std::move(entry.second));
  std::stable_sort(videos.begin(), videos.end(), [](const Video& a, const Video& b) { return a.set < b.set; });
  return videos;
}

}  // namespace ferment::dataset
