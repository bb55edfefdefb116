// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/video_folder.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <tuple>

#include "common/config/spec_value.h"
#include "common/dataset/expression.h"
#include "common/dataset/text_lines.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {
namespace {

constexpr std::array<std::string_view, 1> kVideoColumn = {"video"};
constexpr std::array<std::string_view, 1> kFrameColumn = {"frame"};
constexpr std::array<std::string_view, 4> kClassColumns = {"class", "label", "expression", "emotion"};
/// Not annotated, as Aff-Wild2 writes it.
constexpr int kNoClass = -1;

struct Columns {
  std::optional<std::size_t> video;
  std::optional<std::size_t> frame;
  std::optional<std::size_t> face_class;
};

Columns ColumnsOf(std::string_view header) {
  const std::vector<std::string> fields = SplitCsv(header);
  return {FindColumn(fields, kVideoColumn), FindColumn(fields, kFrameColumn), FindColumn(fields, kClassColumns)};
}

/// One list while it is read, and where in it.
struct ListPlace {
  const std::filesystem::path& file;
  std::size_t line = 0;

  Status Broken(const std::string& what) const {
    return DataLossError(what + ": file=" + file.string() + " line=" + std::to_string(line));
  }
};

/// One row of a list of frames.
struct Row {
  std::uint32_t frame;
  std::uint32_t line;
  std::int8_t label;
};

std::uint32_t LastPicture(const Video& video) {
  return video.frames_with_image.empty() ? 0 : video.frames_with_image.back();
}

/// A video's name becomes a file's.
bool IsPlainName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' ';
  });
}

/// Reads the rows of one list into the videos of one set.
class ListReader {
 public:
  ListReader(const ClassMap& classes, VideoSet set, std::map<std::string, Video>& videos)
      : classes_(classes), set_(set), videos_(videos) {}

  Status Read(const std::filesystem::path& list) {
    list_ = list;
    FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(list));
    const std::vector<std::string_view> lines = SplitLines(text);
    ListPlace place{list, 1};
    columns_ = ColumnsOf(lines.empty() ? std::string_view() : lines[0]);
    if (!columns_.video || (set_ != VideoSet::kTest && !columns_.face_class))
      return place.Broken("header does not name the columns video" +
                          std::string(set_ == VideoSet::kTest ? "" : " and class") + " (and frame, for single frames)");
    for (std::size_t i = 1; i < lines.size(); ++i) {
      place.line = i + 1;
      if (!IsUtf8(lines[i])) return place.Broken("row is not UTF-8");
      if (!Trimmed(lines[i]).empty()) FERMENT_RETURN_IF_ERROR(ReadRow(SplitCsv(lines[i]), place));
    }
    return {};
  }

  /// Gives the videos of the list their labels: a clip's class to all its frames. Requires: pictures are known. Errors:
  /// DataLoss for a frame that is listed twice.
  Status Finish() {
    for (const auto& [name, label] : clips_) {
      Video& video = videos_.at(name);
      if (video.other_class > 0) video.other_class = LastPicture(video);
      video.labels.assign(LastPicture(video), label);
    }
    for (auto& [name, rows] : rows_) FERMENT_RETURN_IF_ERROR(Label(videos_.at(name), rows));
    return {};
  }

 private:
  Status ReadRow(const std::vector<std::string>& fields, const ListPlace& place) {
    const std::size_t last = std::max({*columns_.video, columns_.frame.value_or(0), columns_.face_class.value_or(0)});
    if (fields.size() <= last)
      return place.Broken("row has " + std::to_string(fields.size()) + " fields, expected " + std::to_string(last + 1));
    const std::string name(Trimmed(fields[*columns_.video]));
    if (!IsPlainName(name)) return place.Broken("\"" + name + "\" is no name of a folder");
    const auto [found, fresh] = videos_.try_emplace(name);
    Video& video = found->second;
    if (fresh) {
      video.name = name;
      video.set = set_;
    } else if (video.set != set_) {
      return place.Broken("video is in two lists: video=" + name + " sets=" + std::string(VideoSetName(video.set)) +
                          "," + std::string(VideoSetName(set_)));
    }
    if (set_ == VideoSet::kTest) return {};
    FERMENT_ASSIGN_OR_RETURN(const int label, LabelOf(fields[*columns_.face_class], video, place));
    return columns_.frame ? AddFrame(fields[*columns_.frame], label, video, place) : AddClip(name, label, fresh, place);
  }

  Result<int> LabelOf(std::string_view field, Video& video, const ListPlace& place) const {
    const std::string_view text = Trimmed(field);
    if (text.empty() || ParseInteger(text) == kNoClass) return kNoClass;
    if (!classes_.Knows(text)) return Fail(place.Broken("\"" + std::string(text) + "\" is no class"));
    const std::optional<int> label = classes_.FromText(text);
    if (!label) ++video.other_class;
    return label.value_or(kNoClass);
  }

  Status AddFrame(std::string_view field, int label, Video& video, const ListPlace& place) {
    const std::optional<int> frame = ParseInteger(field);
    if (!frame || *frame < 1 || *frame > static_cast<int>(kMostFrames))
      return place.Broken("frame \"" + std::string(Trimmed(field)) + "\"; allowed: 1 .. " +
                          std::to_string(kMostFrames));
    rows_[video.name].push_back(
        {static_cast<std::uint32_t>(*frame), static_cast<std::uint32_t>(place.line), static_cast<std::int8_t>(label)});
    return {};
  }

  Status AddClip(const std::string& name, int label, bool fresh, const ListPlace& place) {
    if (!fresh) return place.Broken("clip is listed twice: video=" + name);
    clips_[name] = static_cast<std::int8_t>(label);
    return {};
  }

  /// Labels are kept by number, so that a row far past the pictures is counted and left out.
  Status Label(Video& video, std::vector<Row>& rows) const {
    std::sort(rows.begin(), rows.end(),
              [](const Row& a, const Row& b) { return std::tie(a.frame, a.line) < std::tie(b.frame, b.line); });
    const auto twice =
        std::adjacent_find(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.frame == b.frame; });
    if (twice != rows.end())
      return ListPlace{list_, std::next(twice)->line}.Broken("frame is listed twice: video=" + video.name +
                                                             " frame=" + std::to_string(twice->frame));
    const std::uint32_t last = LastPicture(video);
    const auto past = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.frame > last; });
    if (past != rows.end())
      video.oddities.push_back(std::to_string(rows.end() - past) + " rows are of frames past the last picture");
    rows.erase(past, rows.end());
    video.labels.assign(rows.empty() ? 0 : rows.back().frame, static_cast<std::int8_t>(kNoClass));
    for (const Row& row : rows) video.labels[row.frame - 1] = row.label;
    return {};
  }

  const ClassMap& classes_;
  const VideoSet set_;
  std::map<std::string, Video>& videos_;
  Columns columns_;
  std::filesystem::path list_;
  std::map<std::string, std::vector<Row>> rows_;
  std::map<std::string, std::int8_t> clips_;
};

/// Returns: where the folders of pictures are.
std::filesystem::path FramesRoot(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path / "frames", error) ? path / "frames" : path;
}

/// Returns: the first of these lists that is there.
std::optional<std::filesystem::path> FindList(const std::filesystem::path& path,
                                              std::initializer_list<std::string_view> names) {
  std::error_code error;
  for (const std::string_view name : names)
    if (std::filesystem::is_regular_file(path / name, error)) return path / name;
  return std::nullopt;
}

/// Without a list of them, test videos are the folders that no list names.
Status AddUnlisted(const std::filesystem::path& frames, std::map<std::string, Video>& videos) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(frames));
  std::error_code error;
  for (const std::string& name : names) {
    if (videos.contains(name) || name.starts_with('.') || !std::filesystem::is_directory(frames / name, error))
      continue;
    Video& video = videos[name];
    video.name = name;
    video.set = VideoSet::kTest;
  }
  return {};
}

void AddFrames(const std::filesystem::path& frames, Video& video) {
  std::error_code error;
  if (!std::filesystem::is_directory(frames / video.name, error)) {
    video.oddities.push_back("listed, but there is no folder of frames " + (frames / video.name).string());
    return;
  }
  const std::uint64_t others = ReadFrames(frames / video.name, video);
  if (others > 0)
    video.oddities.push_back(std::to_string(others) +
                             " files are no frames (numbered from 1, filled up to one width, .jpg or .png)");
}

}  // namespace

Result<std::vector<Video>> LoadVideoFolder(const std::filesystem::path& path, const std::vector<std::string>& classes) {
  FERMENT_ASSIGN_OR_RETURN([[maybe_unused]] const auto listed, io::ListFolder(path));
  const ClassMap map(classes);
  std::map<std::string, Video> by_name;
  const auto train = FindList(path, {"train.csv"});
  const auto validation = FindList(path, {"val.csv", "validation.csv"});
  const auto test = FindList(path, {"test.csv"});
  if (validation && *validation != path / "validation.csv" && FindList(path, {"validation.csv"}))
    return Fail(
        DataLossError("val.csv and validation.csv are both there, and one of them is meant: folder=" + path.string()));
  if (!train && !validation)
    return Fail(NotFoundError("no list of videos: folder=" + path.string() +
                              "; expected train.csv and val.csv or validation.csv with the columns video, class and, "
                              "for single frames, frame"));
  ListReader train_reader(map, VideoSet::kTrain, by_name);
  ListReader validation_reader(map, VideoSet::kValidation, by_name);
  ListReader test_reader(map, VideoSet::kTest, by_name);
  if (train) FERMENT_RETURN_IF_ERROR(train_reader.Read(*train));
  if (validation) FERMENT_RETURN_IF_ERROR(validation_reader.Read(*validation));
  const std::filesystem::path frames = FramesRoot(path);
  FERMENT_RETURN_IF_ERROR(test ? test_reader.Read(*test) : AddUnlisted(frames, by_name));
  for (auto& [name, video] : by_name) AddFrames(frames, video);
  FERMENT_RETURN_IF_ERROR(train_reader.Finish());
  FERMENT_RETURN_IF_ERROR(validation_reader.Finish());
  std::vector<Video> videos;
  for (auto& [name, video] : by_name) {
    if (!video.folder.empty()) NoteGaps(video);
    if (video.other_class > 0)
      video.oddities.push_back(std::to_string(video.other_class) + " labels are of classes that the run does not have");
    videos.push_back(std::move(video));
  }
  std::stable_sort(videos.begin(), videos.end(), [](const Video& a, const Video& b) { return a.set < b.set; });
  return videos;
}

bool ListsVideos(const std::filesystem::path& list) {
  const auto text = io::ReadTextFile(list);
  if (!text) return false;
  const std::vector<std::string_view> lines = SplitLines(*text);
  return !lines.empty() && ColumnsOf(lines[0]).video.has_value();
}

}  // namespace ferment::dataset
