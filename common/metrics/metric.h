// SPDX-License-Identifier: Apache-2.0
//
// The port through which components count, without knowing who collects.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ferment::metrics {

/// Bounded values only (phase, outcome, class): never a shard, a path or an error text.
using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  virtual ~Counter() = default;
  /// Requires: amount >= 0.
  virtual void Add(double amount) = 0;
  void Increment() { Add(1); }
  virtual double Value() const = 0;
};

class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual double Value() const = 0;
};

class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
  /// Adds what another process observed. Requires: a count a bound, and one for what lies above them all.
  virtual void Add(std::span<const std::uint64_t> counts, double sum) = 0;
};

/// Makes and keeps metrics, and writes them out.
///
/// The same name and labels give the same object; it lives as long as the registry. A metric is written from its
/// making on, so make it before its first event: absent and zero are different things to an alert. Thread: any.
class MetricRegistry {
 public:
  virtual ~MetricRegistry() = default;
  /// `name` ends in _total; `help` is a sentence.
  virtual Counter& MakeCounter(const std::string& name, const std::string& help, const Labels& labels = {}) = 0;
  virtual Gauge& MakeGauge(const std::string& name, const std::string& help, const Labels& labels = {}) = 0;
  /// `bounds` are the buckets' upper bounds in ascending order, in the unit of the name.
  virtual Histogram& MakeHistogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                                   const Labels& labels = {}) = 0;
  /// Returns: everything in Prometheus' text format.
  virtual std::string Exposition() const = 0;
};

/// The Content-Type that goes with Exposition.
inline constexpr char kExpositionType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace ferment::metrics
