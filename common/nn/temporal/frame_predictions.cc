// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/frame_predictions.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace ferment::nn {

std::vector<FrameWindow> CutWindows(std::size_t frames, std::size_t window, std::size_t hop) {
  FERMENT_CHECK(hop > 0 && hop <= window) << "hop=" << hop << " window=" << window;
  if (frames == 0) return {};
  if (frames <= window) return {{0, frames}};
  std::vector<FrameWindow> windows;
  for (std::size_t begin = 0; begin + window < frames; begin += hop) windows.push_back({begin, window});
  windows.push_back({frames - window, window});
  return windows;
}

void OverlapAverage::Add(const FrameWindow& window, std::span<const float> logits) {
  const std::size_t classes = sum_.classes();
  FERMENT_CHECK(window.begin + window.length <= sum_.frames() && logits.size() == window.length * classes);
  for (std::size_t i = 0; i < window.length; ++i) {
    const auto row = sum_.Row(window.begin + i);
    for (std::size_t c = 0; c < classes; ++c) row[c] += logits[i * classes + c];
    ++count_[window.begin + i];
  }
}

FrameTable OverlapAverage::Mean() const {
  FrameTable mean = sum_;
  for (std::size_t i = 0; i < mean.frames(); ++i) {
    if (count_[i] == 0) continue;
    for (float& value : mean.Row(i)) value /= static_cast<float>(count_[i]);
  }
  return mean;
}

FrameTable Softmax(const FrameTable& logits) {
  FrameTable result = logits;
  for (std::size_t i = 0; i < result.frames(); ++i) {
    const auto row = result.Row(i);
    const float top = *std::max_element(row.begin(), row.end());
    float sum = 0;
    for (float& value : row) sum += (value = std::exp(value - top));
    for (float& value : row) value /= sum;
  }
  return result;
}

FrameTable FillGaps(const FrameTable& probabilities, const std::vector<bool>& present) {
  const std::size_t frames = probabilities.frames();
  FERMENT_CHECK(present.size() == frames);
  FrameTable filled = probabilities;
  const auto copy_row = [&](std::size_t from, std::size_t to) {
    const auto source = probabilities.Row(from);
    std::copy(source.begin(), source.end(), filled.Row(to).begin());
  };
  std::vector<std::size_t> known;
  for (std::size_t i = 0; i < frames; ++i)
    if (present[i]) known.push_back(i);
  if (known.empty()) {
    for (std::size_t i = 0; i < frames; ++i)
      std::ranges::fill(filled.Row(i), 1.0F / static_cast<float>(probabilities.classes()));
    return filled;
  }
  for (std::size_t i = 0; i < known.front(); ++i) copy_row(known.front(), i);
  for (std::size_t i = known.back() + 1; i < frames; ++i) copy_row(known.back(), i);
  for (std::size_t k = 0; k + 1 < known.size(); ++k) {
    const auto before = probabilities.Row(known[k]);
    const auto after = probabilities.Row(known[k + 1]);
    const auto distance = static_cast<float>(known[k + 1] - known[k]);
    for (std::size_t i = known[k] + 1; i < known[k + 1]; ++i) {
      const float share = static_cast<float>(i - known[k]) / distance;
      for (std::size_t c = 0; c < filled.classes(); ++c) filled.Row(i)[c] = (1 - share) * before[c] + share * after[c];
    }
  }
  return filled;
}

FrameTable BoxSmooth(const FrameTable& probabilities, std::size_t half_width) {
  if (half_width == 0) return probabilities;
  const std::size_t frames = probabilities.frames();
  FrameTable smooth(frames, probabilities.classes());
  for (std::size_t c = 0; c < probabilities.classes(); ++c) {
    std::vector<double> prefix(frames + 1, 0.0);
    for (std::size_t i = 0; i < frames; ++i) prefix[i + 1] = prefix[i] + static_cast<double>(probabilities.Row(i)[c]);
    for (std::size_t i = 0; i < frames; ++i) {
      const std::size_t begin = i > half_width ? i - half_width : 0;
      const std::size_t end = std::min(i + half_width + 1, frames);
      smooth.Row(i)[c] = static_cast<float>((prefix[end] - prefix[begin]) / static_cast<double>(end - begin));
    }
  }
  return smooth;
}

std::vector<int> ArgmaxRows(const FrameTable& table) {
  std::vector<int> classes;
  for (std::size_t i = 0; i < table.frames(); ++i) {
    const auto row = table.Row(i);
    classes.push_back(static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin()));
  }
  return classes;
}

}  // namespace ferment::nn
