// A fleet in a file: JSON Lines or CSV, read and written one gateway or device at a time.
#ifndef COUNTERSIGN_TOOLS_CTL_FLEET_FILE_H_
#define COUNTERSIGN_TOOLS_CTL_FLEET_FILE_H_

#include <cstdint>
#include <istream>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "countersign/inventory/v1/inventory.pb.h"

namespace countersign::ctl {

// JSON Lines has {"gateway": {...}} and {"device": {...}}, each with all that the inventory says of it. CSV
// has a line for each component, with its device and gateway (or for a gateway without devices), under the
// names of kFleetCsvColumns. What is output only is written for people, and not read.
enum class FleetFormat { kJsonLines, kCsv };

// Writes gateways, each before its devices.
class FleetWriter {
 public:
  virtual ~FleetWriter() = default;
  virtual void Gateway(const inventory::v1::Gateway& gateway) = 0;
  // Of the gateway that was written last.
  virtual void Device(const inventory::v1::Device& device) = 0;
  virtual void End() = 0;
};
// `out` must outlive it.
std::unique_ptr<FleetWriter> NewFleetWriter(FleetFormat format, std::ostream& out);

struct FleetEntry {
  int64_t line = 0;  // from 1, where it begins
  std::variant<inventory::v1::Gateway, inventory::v1::Device> value;
};

class FleetReader {
 public:
  virtual ~FleetReader() = default;
  // The next gateway or device, or nullopt at the end. INVALID_ARGUMENT that names the line
  // (FLEET_FILE_INVALID, CSV_MALFORMED); `can_go_on()` then says whether the lines behind it can be read.
  virtual absl::StatusOr<std::optional<FleetEntry>> Next() = 0;
  virtual bool can_go_on() const = 0;
};
// `in` must outlive it.
std::unique_ptr<FleetReader> NewFleetReader(FleetFormat format, std::istream& in);

extern const char kFleetCsvColumns[];

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_FLEET_FILE_H_
