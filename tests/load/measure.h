#ifndef COUNTERSIGN_TESTS_LOAD_MEASURE_H_
#define COUNTERSIGN_TESTS_LOAD_MEASURE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace countersign::load {

// CPU time that a process has used, user and system, in seconds.
double CpuSeconds(pid_t pid);
// The same of all children of a process together: PostgreSQL's backends.
double CpuSecondsOfChildren(pid_t parent);

// Resident memory of a process in bytes: now, and the most since ResetPeak().
int64_t ResidentBytes(pid_t pid);
int64_t PeakResidentBytes(pid_t pid);
void ResetPeak(pid_t pid);

// What one run took: wall time, and the CPU time of those who took part.
struct Sample {
  double seconds = 0;
  double client_cpu = 0;
  double server_cpu = 0;
  double database_cpu = 0;
};

// Times `run`. `server` and `postmaster` may be 0: there is none.
Sample Measure(pid_t server, pid_t postmaster, const std::function<void()>& run);

double Median(std::vector<double> values);

// One path in all rounds: what we took for `amount` (bytes, calls), and what the bare limit took in the same
// round.
struct Series {
  double amount;
  std::vector<Sample> ours;
  std::vector<Sample> bare;

  // Medians over the rounds. Rates are amounts per second; ratios are those of each round.
  double OurRate() const;
  double BareRate() const;
  double RateRatio() const;  // ours / bare: 1 is as fast as the limit
  double OurServerCpu() const;
  double BareServerCpu() const;
  double ServerCpuRatio() const;  // ours / bare, per amount
  double OurClientCpu() const;
  double BareClientCpu() const;
  double OurDatabaseCpu() const;
};

// The table that is printed. Columns are as wide as they need.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_MEASURE_H_
