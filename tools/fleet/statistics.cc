#include "tools/fleet/statistics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "nlohmann/json.hpp"

namespace countersign::fleet {
namespace {

constexpr absl::Duration kFirstEdge = absl::Microseconds(10);
constexpr double kWidth = 1.05;
// Programs tell errors by their reasons, of which there is a bounded number; the backstop is for others.
constexpr size_t kMaxErrors = 64;

double Milliseconds(absl::Duration duration) {
  return std::round(absl::ToDoubleMilliseconds(duration) * 1000) / 1000;
}

}  // namespace

void Latencies::Add(absl::Duration duration) {
  const double ratio = std::max(1.0, absl::FDivDuration(duration, kFirstEdge));
  const int bucket = std::min(kBuckets - 1, static_cast<int>(std::ceil(std::log(ratio) / std::log(kWidth))));
  ++buckets_[bucket];
  ++count_;
}

absl::Duration Latencies::Quantile(double quantile) const {
  if (count_ == 0) return absl::ZeroDuration();
  const auto wanted =
      std::max<int64_t>(1, static_cast<int64_t>(std::ceil(quantile * static_cast<double>(count_))));
  int64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return kFirstEdge * std::pow(kWidth, i);
  }
  return absl::InfiniteDuration();
}

void Statistics::Add(absl::string_view name, int64_t by) {
  absl::MutexLock lock(&mutex_);
  const auto found = counts_.find(std::string_view(name.data(), name.size()));
  if (found != counts_.end()) {
    found->second += by;
  } else {
    counts_.emplace(std::string(name), by);
  }
}

int64_t Statistics::Get(absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = counts_.find(std::string_view(name.data(), name.size()));
  return found == counts_.end() ? 0 : found->second;
}

void Statistics::Call(absl::string_view method, const absl::Status& status, absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  Method& counted = methods_[std::string(method)];
  ++counted.count;
  if (status.ok()) return counted.latencies.Add(duration);
  std::string reason = ReasonOf(status);
  if (reason.empty()) reason = absl::StatusCodeToString(status.code());
  if (counted.errors.size() >= kMaxErrors && !counted.errors.contains(reason)) reason = "others";
  ++counted.errors[reason];
}

std::string Statistics::ToJson() const {
  absl::MutexLock lock(&mutex_);
  nlohmann::json calls = nlohmann::json::object();
  for (const auto& [name, method] : methods_) {
    calls[name] = {{"count", method.count},
                   {"errors", method.errors},
                   {"p50_ms", Milliseconds(method.latencies.Quantile(0.50))},
                   {"p95_ms", Milliseconds(method.latencies.Quantile(0.95))},
                   {"p99_ms", Milliseconds(method.latencies.Quantile(0.99))}};
  }
  nlohmann::json counts = nlohmann::json::object();
  for (const auto& [name, count] : counts_) counts[name] = count;
  return nlohmann::json({{"counts", std::move(counts)},
                         {"calls", std::move(calls)},
                         {"cpu_seconds", OwnCpuSeconds()},
                         {"resident_bytes", OwnResidentBytes()}})
      .dump();
}

double OwnCpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int64_t OwnResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0;
  int64_t resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace countersign::fleet
