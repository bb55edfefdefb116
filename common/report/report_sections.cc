// SPDX-License-Identifier: Apache-2.0
#include "common/report/report_sections.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "common/report/html_text.h"
#include "common/report/svg_chart.h"

namespace ferment::report {
namespace {

std::string Percent(double share) { return Fixed(share * 100, 1) + " %"; }

std::string Card(const std::string& title, const std::string& body, const std::string& caption = "") {
  return "<figure class=\"card\"><h3>" + Escaped(title) + "</h3>" + body +
         (caption.empty() ? "" : "<figcaption>" + Escaped(caption) + "</figcaption>") + "</figure>";
}

std::string Section(const std::string& title, const std::string& lead, const std::string& body) {
  return "<section><h2>" + Escaped(title) + "</h2><p class=\"muted\">" + Escaped(lead) + "</p>" + body + "</section>";
}

std::string Headline(const std::string& what, const std::string& value, const std::string& beside) {
  return "<div class=\"card head\"><div class=\"what\">" + Escaped(what) + "</div><div class=\"big\">" +
         Escaped(value) + "</div><div class=\"what\">" + beside + "</div></div>";
}

std::string Change(double from, double to, const std::string& against) {
  const double points = (to - from) * 100;
  return "<span class=\"" + std::string(points >= 0 ? "up" : "down") + "\">" + (points >= 0 ? "+" : "−") +
         Fixed(std::abs(points), 1) + " points</span> against " + Escaped(against) + " (" + Percent(from) + ")";
}

const StaticFigures* FindStatic(const RunFigures& figures, const std::string& model) {
  for (const StaticFigures& row : figures.statics) {
    if (row.model == model) return &row;
  }
  return nullptr;
}

const AblationFigures* FindAblation(const RunFigures& figures, bool all) {
  for (const AblationFigures& row : figures.ablation) {
    if (row.semi_supervised == all && row.temporal == all && row.smoothing == all) return &row;
  }
  return nullptr;
}

std::string ModelTitle(const std::string& model) {
  if (model == "teacher") return "Supervised";
  if (model == "student_before_finetune") return "Before fine-tuning";
  if (model == "student") return "Student";
  return model;
}

std::string OptimismText(bool optimistic) {
  return optimistic ? " Networks were chosen by these figures (evaluate.select: best), which are optimistic." : "";
}

std::string ClassLegend(const std::vector<std::string>& classes) {
  std::string legend = "<div class=\"legend\">";
  for (std::size_t i = 0; i < classes.size(); ++i) {
    legend +=
        "<span><i style=\"background:var(--k" + std::to_string(i % 8) + ")\"></i>" + Escaped(classes[i]) + "</span>";
  }
  return legend + "</div>";
}

std::string ConfusionTable(const StaticFigures& row, const std::vector<std::string>& classes) {
  std::string html = "<div class=\"scroll\"><table class=\"confusion\"><tr><th></th>";
  for (const std::string& name : classes) html += "<th>" + Escaped(name.substr(0, 3)) + "</th>";
  html += "</tr>";
  for (std::size_t label = 0; label < row.confusion.size(); ++label) {
    const std::vector<double>& line = row.confusion[label];
    double total = 0;
    for (const double count : line) total += count;
    html += "<tr><th>" + Escaped(label < classes.size() ? classes[label] : "") + "</th>";
    for (const double count : line) {
      const double share = total > 0 ? count / total : 0;
      html += "<td style=\"background:rgba(var(--heat)," + Fixed(share * 0.85, 3) + ")\">" + Grouped(count) + "</td>";
    }
    html += "</tr>";
  }
  return html + "</table></div>";
}

std::string PerClassTable(const RunFigures& figures) {
  std::string html = "<div class=\"scroll\"><table><tr><th>class</th>";
  for (const StaticFigures& row : figures.statics) html += "<th>" + Escaped(ModelTitle(row.model)) + "</th>";
  html += "</tr>";
  for (std::size_t i = 0; i < figures.classes.size(); ++i) {
    html += "<tr><td>" + Escaped(figures.classes[i]) + "</td>";
    for (const StaticFigures& row : figures.statics) {
      html += "<td>" + (i < row.per_class_f1.size() ? Percent(row.per_class_f1[i]) : "–") + "</td>";
    }
    html += "</tr>";
  }
  html += "<tr class=\"best\"><td>macro F1</td>";
  for (const StaticFigures& row : figures.statics) html += "<td>" + Percent(row.macro_f1) + "</td>";
  html += "</tr><tr><td>accuracy</td>";
  for (const StaticFigures& row : figures.statics) html += "<td>" + Percent(row.accuracy) + "</td>";
  html += "</tr><tr><td>calibration error</td>";
  for (const StaticFigures& row : figures.statics) html += "<td>" + Fixed(row.ece, 3) + "</td>";
  return html + "</tr></table></div>";
}

/// Which chart a logged figure belongs to; empty: none.
std::string ChartOf(const std::string& name) {
  if (name.find("loss") != std::string::npos || name.starts_with("L_")) return "losses";
  if (name == "h" || name == "h_raw" || name == "baseline") return "feedback h";
  if (name.find("f1") != std::string::npos) return "F1";
  if (name.starts_with("accept")) return "accepted labels";
  return "";
}

}  // namespace

std::string HeadlineSection(const RunFigures& figures) {
  std::string html = "<div class=\"heads\">";
  const StaticFigures* teacher = FindStatic(figures, "teacher");
  const StaticFigures* student = FindStatic(figures, "student");
  if (student != nullptr) {
    html += Headline(student->optimistic ? "Macro F1 on faces, optimistic" : "Macro F1 on faces",
                     Percent(student->macro_f1),
                     teacher == nullptr ? "" : Change(teacher->macro_f1, student->macro_f1, "labelled faces alone"));
  }
  const AblationFigures* full = FindAblation(figures, true);
  const AblationFigures* none = FindAblation(figures, false);
  if (full != nullptr && none != nullptr && !figures.videos.empty()) {
    html += Headline(full->optimistic ? "Macro F1 on videos, optimistic" : "Macro F1 on videos",
                     Percent(full->macro_f1), Change(none->macro_f1, full->macro_f1, "none of the three parts"));
  }
  if (!figures.pseudo_labels.empty()) {
    const PseudoLabelFigures& labels = figures.pseudo_labels.back();
    const std::string beside = Grouped(labels.labelled) + " of " + Grouped(labels.records) + " unlabelled faces";
    html += labels.accuracy ? Headline("Pseudo-labels that are right", Percent(*labels.accuracy), beside)
                            : Headline("Pseudo-labels", Grouped(labels.labelled), beside);
  }
  double seconds = 0;
  double cpu_seconds = 0;
  double peak = 0;
  for (const PhaseFigures& phase : figures.phases) {
    seconds += phase.seconds;
    cpu_seconds += phase.cpu_seconds;
    peak = std::max(peak, phase.peak_rss_bytes);
  }
  html += Headline("Time", Duration(seconds), Duration(cpu_seconds) + " of CPU, at most " + Bytes(peak) + " a process");
  return html + "</div>";
}

std::string AblationSection(const RunFigures& figures) {
  if (figures.ablation.empty()) return Section("What each part adds", "The evaluation has not been reached.", "");
  double best = 0;
  for (const AblationFigures& row : figures.ablation) best = std::max(best, row.macro_f1);
  std::string html =
      "<div class=\"card scroll "
      "ablation\"><table><tr><th>semi-supervised</th><th>temporal</th><th>smoothing</th><th>macro "
      "F1</th>"
      "<th class=\"barcell\"></th><th>against first</th></tr>";
  const auto mark = [](bool on) { return std::string("<td class=\"mark\">") + (on ? "●" : "○") + "</td>"; };
  for (const AblationFigures& row : figures.ablation) {
    const double points = (row.macro_f1 - figures.ablation.front().macro_f1) * 100;
    const double width = best > 0 ? row.macro_f1 / best * 100 : 0;
    html += std::string("<tr") + (row.macro_f1 == best ? " class=\"best\"" : "") + ">" + mark(row.semi_supervised) +
            mark(row.temporal) + mark(row.smoothing) + "<td>" + Percent(row.macro_f1) +
            "</td><td class=\"barcell\"><span class=\"bar\" style=\"width:" + Fixed(width, 1) + "%\"></span></td><td>" +
            (points >= 0 ? "+" : "−") + Fixed(std::abs(points), 1) + "</td></tr>";
  }
  const std::string lead = figures.videos.empty()
                               ? "Macro F1 on the validation faces; the run has no videos, so time plays no part."
                               : "Macro F1 over all frames of the validation videos. ● with, ○ without.";
  return Section("What each part adds", lead + OptimismText(figures.ablation.front().optimistic),
                 html + "</table></div>");
}

std::string LeftOutText(const RunFigures& figures) {
  std::string text;
  for (const FaceRows& set : figures.faces_read) {
    std::string reasons;
    for (const auto& [reason, count] : set.left_out)
      reasons += (reasons.empty() ? "" : ", ") + reason + " " + Grouped(count);
    if (!reasons.empty()) text += " Of " + Grouped(set.rows) + " " + set.set + " rows left out: " + reasons + ".";
  }
  return text;
}

std::string FacesSection(const RunFigures& figures) {
  if (figures.statics.empty()) return "";
  std::string html = "<div class=\"grid wide\">" + Card("F1 per class", PerClassTable(figures));
  for (const StaticFigures& row : figures.statics) {
    if (row.model == "student_before_finetune") continue;
    html += Card("Confusion: " + ModelTitle(row.model), ConfusionTable(row, figures.classes),
                 "Rows are labels, columns predictions; the shade is the share of the row.");
  }
  if (!figures.student_reliability.empty()) {
    html += Card("Is the student as sure as it is right?",
                 ReliabilityDiagram("Reliability of the student", figures.student_reliability),
                 "Accuracy over confidence; on the dashed line a network would be exactly as right as it says.");
  }
  return Section("Faces",
                 "Every labelled validation face once, in plain float32." +
                     OptimismText(figures.statics.back().optimistic) + LeftOutText(figures),
                 html + "</div>");
}

std::string CanaryText(const PseudoLabelFigures& row) {
  if (row.canaries == 0) return "";
  return " Of " + Grouped(row.canaries) + " held-out labelled faces among them, class-balanced, " +
         Percent(row.canaries_correct / row.canaries) + " were named rightly.";
}

std::string PseudoLabelSection(const RunFigures& figures) {
  if (figures.pseudo_labels.empty()) return "";
  std::string html = "<div class=\"grid\">";
  for (std::size_t i = 0; i < figures.pseudo_labels.size(); ++i) {
    const PseudoLabelFigures& row = figures.pseudo_labels[i];
    const std::string teacher = "teacher " + row.teacher.substr(0, 8);
    const std::string counts = Grouped(row.records) + " read: " + Grouped(row.labelled) + " labelled, " +
                               Grouped(row.abstained) + " too unsure, " + Grouped(row.quarantined) + " damaged." +
                               CanaryText(row);
    html += Card("Labels given, " + teacher, ClassBars("Pseudo-labels by class", figures.classes, row.class_histogram),
                 counts);
    if (!row.reliability.empty() && row.accuracy) {
      html += Card("Sure and right, " + teacher, ReliabilityDiagram("Reliability of pseudo-labels", row.reliability),
                   Percent(*row.accuracy) + " of the labelled faces whose truth is known are right.");
    }
  }
  html += "</div>";
  if (!figures.faces.empty()) {
    html += "<div class=\"faces\">";
    for (std::size_t label = 0; label < figures.classes.size(); ++label) {
      std::string row;
      for (const SampleFace& face : figures.faces) {
        if (face.label != static_cast<int>(label)) continue;
        row += "<figure><img alt=\"a face labelled " + Escaped(figures.classes[label]) +
               "\" src=\"data:image/jpeg;base64," + Base64(face.jpeg) + "\"><figcaption>" + Fixed(face.confidence, 2) +
               "</figcaption></figure>";
      }
      if (!row.empty())
        html += "<div class=\"card\"><h3>" + Escaped(figures.classes[label]) + "</h3><div class=\"row\">" + row +
                "</div></div>";
    }
    html += "</div>";
  }
  return Section("Pseudo-labels",
                 "What the teacher says about faces that nobody labelled." +
                     (figures.truth_note.empty() ? std::string() : " " + figures.truth_note),
                 html);
}

std::string CurveSection(const RunFigures& figures) {
  std::string html;
  for (const Curve& curve : figures.curves) {
    for (const char* chart : {"losses", "feedback h", "F1", "accepted labels"}) {
      std::vector<Series> series;
      for (const Series& one : curve.series) {
        if (ChartOf(one.name) == chart) series.push_back(one);
      }
      if (!series.empty()) html += Card(curve.job_id + ": " + chart, LineChart(curve.job_id + " " + chart, series));
    }
  }
  if (html.empty()) return "";
  return Section("Training",
                 "Over the steps of each job. h is how much a step on pseudo-labels helped the student on "
                 "balanced labelled faces.",
                 "<div class=\"grid\">" + html + "</div>");
}

std::string TimelineSection(const RunFigures& figures) {
  if (!figures.timeline) return "";
  const Timeline& line = *figures.timeline;
  const std::string chart = ClassStrips("Classes over time",
                                        {{"truth", line.truth},
                                         {"each frame alone", line.without_encoder},
                                         {"with the temporal encoder", line.with_encoder},
                                         {"smoothed: the full system", line.smoothed}},
                                        line.frames);
  return Section("One video over time", "Validation video " + line.video + ".",
                 "<div class=\"card\">" + chart + ClassLegend(figures.classes) + "</div>");
}

std::string CostSection(const RunFigures& figures) {
  if (figures.phases.empty()) return Section("Cost", "No phase has started.", "");
  double longest = 1e-9;
  for (const PhaseFigures& phase : figures.phases) longest = std::max(longest, phase.seconds);
  std::string html =
      "<div class=\"card scroll\"><table><tr><th>phase</th><th>status</th><th></th><th>time</th><th>CPU</th>"
      "<th>peak memory</th><th>samples</th><th>attempts</th></tr>";
  for (const PhaseFigures& phase : figures.phases) {
    html += "<tr><td>" + Escaped(phase.job_id) + "</td><td>" + Escaped(phase.status) +
            "</td><td class=\"barcell\"><span class=\"bar\" style=\"width:" + Fixed(phase.seconds / longest * 100, 1) +
            "%\"></span></td><td>" + Duration(phase.seconds) + "</td><td>" + Duration(phase.cpu_seconds) + "</td><td>" +
            Bytes(phase.peak_rss_bytes) + "</td><td>" + Grouped(phase.samples) + "</td><td>" +
            std::to_string(phase.attempts) + "</td></tr>";
  }
  return Section("Cost", "Time and CPU of each phase, all its processes together.", html + "</table></div>");
}

}  // namespace ferment::report
