// Programs that stand for what a device has beside its firmware: its sensors, its self-test, its work.
#ifndef COUNTERSIGN_TOOLS_DEVICE_PROGRAM_H_
#define COUNTERSIGN_TOOLS_DEVICE_PROGRAM_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/trust/preconditions.h"

namespace countersign::device {

// Runs `command` (looked up in PATH), and returns what it wrote to standard output, at most 64 KiB of it, if
// it ends with status 0 within `timeout`; otherwise nothing. It is killed when it takes longer.
struct ProgramResult {
  bool well = false;
  std::string output;
};
ProgramResult RunProgram(std::vector<std::string> command, absl::Duration timeout);

// What `command` prints, as trust::ReadReadings() has it. Nothing is known when it fails.
trust::Readings ReadSensors(const std::string& command);

// What components do for a living: for each that operates, one process of `command <ecu_serial> <image>`. It
// ends with the device, however that ends. Thread-safe.
class Operation {
 public:
  // Without a command nothing is started.
  explicit Operation(std::string command);
  // Stops all.
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Both return once it is done. A process that does not listen when it is to stop is killed.
  void Start(const std::string& ecu_serial, const std::string& image);
  void Stop(const std::string& ecu_serial);

 private:
  struct Order {
    std::string ecu_serial;
    std::string image;  // empty: stop
  };

  void Give(Order order);
  void Work();
  void Obey(const Order& order);

  std::string command_;
  absl::Mutex mutex_;
  std::optional<Order> order_ ABSL_GUARDED_BY(mutex_);
  bool ends_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, pid_t> processes_;  // the thread's
  // The kernel ends the processes with the thread that made them, and so with the device.
  std::thread thread_;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_PROGRAM_H_
