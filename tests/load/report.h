#ifndef COUNTERSIGN_TESTS_LOAD_REPORT_H_
#define COUNTERSIGN_TESTS_LOAD_REPORT_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/load/measure.h"

// What every benchmark prints, and how it fails: at once.
namespace countersign::load {

void Require(const absl::Status& status);

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

// The rows that are printed: a figure of ours, the limit's, their ratio and the goal.
class Report {
 public:
  Report() : table_({"PATH", "OURS", "LIMIT", "", "RATIO", "GOAL", ""}) {}

  // The higher the ratio the better; without a goal it is only told.
  void Rate(const std::string& path, const std::string& ours, const std::string& limit,
            const std::string& limits, double ratio, std::optional<double> goal);
  // The lower the ratio the better.
  void Cost(const std::string& path, const std::string& ours, const std::string& limit,
            const std::string& limits, double ratio, std::optional<double> goal);
  std::string ToString() const { return table_.ToString(); }

 private:
  void Add(const std::string& path, const std::string& ours, const std::string& limit,
           const std::string& limits, double ratio, std::optional<double> goal, const char* sign, bool met);
  Table table_;
};

std::string PerSecond(double bytes);  // "1.23 GB/s"
std::string Calls(double rate);       // "12.3 k/s"
std::string Micros(double seconds);   // "12.3 us"
std::string MiB(int64_t bytes);       // "12 MiB"

// The process that is the PostgreSQL behind `conninfo` (of a TestCluster), whose children do its work.
pid_t Postmaster(const std::string& conninfo);

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_REPORT_H_
