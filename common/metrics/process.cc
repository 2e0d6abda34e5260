#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "common/metrics/metrics.h"

namespace countersign::metrics {
namespace {

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double ResidentBytes() {
  long total = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident) * sysconf(_SC_PAGESIZE);
}

double OpenFiles() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int count = 0;
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count - 1;  // the folder itself was open
}

double StartTime() {
  std::ifstream stat("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
  // The second field may contain anything, parentheses and blanks too: count from its end. Start time is
  // field 22, in ticks since the machine booted.
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return 0;
  const char* at = text.c_str() + end + 1;
  for (int field = 2; field < 21 && *at != '\0'; ++at) field += *at == ' ';
  const double ticks = std::strtod(at, nullptr);
  std::ifstream uptime("/proc/stat");
  for (std::string line; std::getline(uptime, line);) {
    if (line.rfind("btime ", 0) == 0) {
      return std::strtod(line.c_str() + 6, nullptr) + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
  }
  return 0;
}

}  // namespace

void AddProcessMetrics(Registry& registry) {
  // A counter by name and meaning; the value is read, not counted, so it is kept as what lacks from the last
  // look.
  const Counter cpu =
      registry.AddCounter("process_cpu_seconds_total", "User and system CPU time spent in seconds.").With();
  const Gauge resident =
      registry.AddGauge("process_resident_memory_bytes", "Resident memory size in bytes.").With();
  const Gauge files = registry.AddGauge("process_open_fds", "Number of open file descriptors.").With();
  const Gauge max_files =
      registry.AddGauge("process_max_fds", "Maximum number of open file descriptors.").With();
  registry
      .AddGauge("process_start_time_seconds", "Start time of the process since the Unix epoch in seconds.")
      .With()
      .Set(StartTime());
  registry.OnSerialize([=] {
    if (const double more = CpuSeconds() - cpu.Value(); more > 0) cpu.Increment(more);
    resident.Set(ResidentBytes());
    files.Set(OpenFiles());
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    max_files.Set(static_cast<double>(limit.rlim_cur));
  });
}

}  // namespace countersign::metrics
