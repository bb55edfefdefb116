// SPDX-License-Identifier: Apache-2.0
#include "common/metrics/prometheus_registry.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>

#include "common/base/mutex.h"

namespace ferment::metrics {
namespace {

class PrometheusCounter final : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double amount) override { counter_.Increment(amount); }
  double Value() const override { return counter_.Value(); }

 private:
  prometheus::Counter& counter_;
};

class PrometheusGauge final : public Gauge {
 public:
  explicit PrometheusGauge(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_.Set(value); }
  double Value() const override { return gauge_.Value(); }

 private:
  prometheus::Gauge& gauge_;
};

class PrometheusHistogram final : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }
  void Add(std::span<const std::uint64_t> counts, double sum) override {
    histogram_.ObserveMultiple({counts.begin(), counts.end()}, sum);
  }

 private:
  prometheus::Histogram& histogram_;
};

/// Finds or makes the wrapper of one prometheus metric.
template <typename Wrapper, typename Metric>
Wrapper& WrapperOf(std::map<const void*, std::unique_ptr<Wrapper>>& wrappers, Metric& metric) {
  std::unique_ptr<Wrapper>& wrapper = wrappers[&metric];
  if (!wrapper) wrapper = std::make_unique<Wrapper>(metric);
  return *wrapper;
}

/// Guarded: prometheus-cpp locks its own state, mutex_ guards the maps of wrappers.
class PrometheusRegistry final : public MetricRegistry {
 public:
  Counter& MakeCounter(const std::string& name, const std::string& help, const Labels& labels) override {
    auto& metric = prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(ToMap(labels));
    const MutexLock lock(mutex_);
    return WrapperOf(counters_, metric);
  }

  Gauge& MakeGauge(const std::string& name, const std::string& help, const Labels& labels) override {
    auto& metric = prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(ToMap(labels));
    const MutexLock lock(mutex_);
    return WrapperOf(gauges_, metric);
  }

  Histogram& MakeHistogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                           const Labels& labels) override {
    auto& metric = prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(ToMap(labels), bounds);
    const MutexLock lock(mutex_);
    return WrapperOf(histograms_, metric);
  }

  std::string Exposition() const override { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

 private:
  static std::map<std::string, std::string> ToMap(const Labels& labels) { return {labels.begin(), labels.end()}; }

  // Synchronizes itself.
  prometheus::Registry registry_;
  // Under mutex_.
  Mutex mutex_;
  std::map<const void*, std::unique_ptr<PrometheusCounter>> counters_ FERMENT_GUARDED_BY(mutex_);
  std::map<const void*, std::unique_ptr<PrometheusGauge>> gauges_ FERMENT_GUARDED_BY(mutex_);
  std::map<const void*, std::unique_ptr<PrometheusHistogram>> histograms_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<MetricRegistry> MakePrometheusRegistry() { return std::make_unique<PrometheusRegistry>(); }

}  // namespace ferment::metrics
