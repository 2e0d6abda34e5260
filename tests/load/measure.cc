#include "tests/load/measure.h"

#include <dirent.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace countersign::load {
namespace {

template <typename Get>
double MedianOf(const std::vector<Sample>& samples, const Get& get) {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(get(sample));
  return Median(std::move(values));
}

template <typename Get>
double MedianRatio(const std::vector<Sample>& above, const std::vector<Sample>& below, const Get& get) {
  std::vector<double> values;
  for (size_t i = 0; i < above.size(); ++i) values.push_back(get(above[i]) / get(below[i]));
  return Median(std::move(values));
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

int64_t StatusBytes(pid_t pid, absl::string_view field) {
  const std::string status = Contents(absl::StrCat("/proc/", pid, "/status"));
  for (const absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::StartsWith(line, field)) continue;
    return std::strtoll(std::string(line.substr(field.size())).c_str(), nullptr, 10) * 1024;
  }
  return 0;
}

}  // namespace

double CpuSeconds(pid_t pid) {
  clockid_t clock;
  timespec time;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double CpuSecondsOfChildren(pid_t parent) {
  double seconds = 0;
  const std::string tasks = Contents(absl::StrCat("/proc/", parent, "/task/", parent, "/children"));
  for (const absl::string_view task : absl::StrSplit(tasks, ' ')) {
    int pid;
    if (absl::SimpleAtoi(task, &pid)) seconds += CpuSeconds(pid);
  }
  return seconds;
}

int64_t ResidentBytes(pid_t pid) { return StatusBytes(pid, "VmRSS:"); }
int64_t PeakResidentBytes(pid_t pid) { return StatusBytes(pid, "VmHWM:"); }
void ResetPeak(pid_t pid) { std::ofstream(absl::StrCat("/proc/", pid, "/clear_refs")) << "5\n"; }

Sample Measure(pid_t server, pid_t postmaster, const std::function<void()>& run) {
  const auto now = [&] {
    return Sample{
        .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
        .client_cpu = CpuSeconds(0),
        .server_cpu = server != 0 ? CpuSeconds(server) : 0,
        .database_cpu = postmaster != 0 ? CpuSecondsOfChildren(postmaster) : 0,
    };
  };
  const Sample before = now();
  run();
  const Sample after = now();
  return {.seconds = after.seconds - before.seconds,
          .client_cpu = after.client_cpu - before.client_cpu,
          .server_cpu = after.server_cpu - before.server_cpu,
          .database_cpu = after.database_cpu - before.database_cpu};
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double Series::OurRate() const {
  return amount / MedianOf(ours, [](const Sample& sample) { return sample.seconds; });
}
double Series::BareRate() const {
  return amount / MedianOf(bare, [](const Sample& sample) { return sample.seconds; });
}
double Series::RateRatio() const {
  return MedianRatio(bare, ours, [](const Sample& sample) { return sample.seconds; });
}
double Series::OurServerCpu() const {
  return MedianOf(ours, [](const Sample& sample) { return sample.server_cpu; }) / amount;
}
double Series::BareServerCpu() const {
  return MedianOf(bare, [](const Sample& sample) { return sample.server_cpu; }) / amount;
}
double Series::ServerCpuRatio() const {
  return MedianRatio(ours, bare, [](const Sample& sample) { return sample.server_cpu; });
}
double Series::OurClientCpu() const {
  return MedianOf(ours, [](const Sample& sample) { return sample.client_cpu; }) / amount;
}
double Series::BareClientCpu() const {
  return MedianOf(bare, [](const Sample& sample) { return sample.client_cpu; }) / amount;
}
double Series::OurDatabaseCpu() const {
  return MedianOf(ours, [](const Sample& sample) { return sample.database_cpu; }) / amount;
}

std::string Table::ToString() const {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppendFormat(&line, "%-*s", static_cast<int>(widths[i]) + 2, row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace countersign::load
