// SPDX-License-Identifier: Apache-2.0
//
// Charts as pure functions from data to an SVG string; colours are the page's CSS variables.
#pragma once

#include <string>
#include <vector>

#include "common/report/run_figures.h"

namespace ferment::report {

/// Returns: lines over steps, with a legend; a series of many points is drawn as means of neighbours. `title` names the
/// picture for those who cannot see it. A horizontal line marks 0 where it lies inside.
std::string LineChart(const std::string& title, const std::vector<Series>& series);

/// Returns: one bar a class, in the classes' colours, with its count above.
std::string ClassBars(const std::string& title, const std::vector<std::string>& classes,
                      const std::vector<double>& counts);

/// Returns: accuracy over confidence, the diagonal for comparison, and below it how many fell into each bin.
std::string ReliabilityDiagram(const std::string& title, const std::vector<ReliabilityBin>& bins);

struct Strip {
  std::string name;
  std::vector<int> labels;  // a class a frame, -1 for none
};

/// Returns: strips of frames coloured by class, one under another on one time axis.
std::string ClassStrips(const std::string& title, const std::vector<Strip>& strips, const std::vector<int>& frames);

}  // namespace ferment::report
