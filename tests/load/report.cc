#include "tests/load/report.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/file/file.h"

namespace countersign::load {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

void Report::Rate(const std::string& path, const std::string& ours, const std::string& limit,
                  const std::string& limits, double ratio, std::optional<double> goal) {
  Add(path, ours, limit, limits, ratio, goal, ">=", goal.has_value() && ratio >= *goal);
}

void Report::Cost(const std::string& path, const std::string& ours, const std::string& limit,
                  const std::string& limits, double ratio, std::optional<double> goal) {
  Add(path, ours, limit, limits, ratio, goal, "<=", goal.has_value() && ratio <= *goal);
}

void Report::Add(const std::string& path, const std::string& ours, const std::string& limit,
                 const std::string& limits, double ratio, std::optional<double> goal, const char* sign,
                 bool met) {
  std::string wanted;
  if (goal.has_value()) wanted = absl::StrFormat("%s %.2f", sign, *goal);
  table_.Add({path, ours, limit, limits, absl::StrFormat("%.2f", ratio), wanted,
              !goal.has_value() ? ""
              : met             ? "met"
                                : "MISSED"});
}

std::string PerSecond(double bytes) { return absl::StrFormat("%.2f GB/s", bytes * 1e-9); }
std::string Calls(double rate) { return absl::StrFormat("%.1f k/s", rate * 1e-3); }
std::string Micros(double seconds) { return absl::StrFormat("%.1f us", seconds * 1e6); }
std::string MiB(int64_t bytes) { return absl::StrFormat("%.0f MiB", static_cast<double>(bytes) / (1 << 20)); }

pid_t Postmaster(const std::string& conninfo) {
  for (const absl::string_view word : absl::StrSplit(conninfo, ' ')) {
    const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
    if (parts[0] != "host") continue;
    return std::atoi(Require(ReadFile(absl::StrCat(parts[1], "/data/postmaster.pid"))).c_str());
  }
  return 0;
}

}  // namespace countersign::load
