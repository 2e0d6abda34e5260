#ifndef COUNTERSIGN_TESTS_LOAD_FLEET_DATA_H_
#define COUNTERSIGN_TESTS_LOAD_FLEET_DATA_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

// The fleet of a large operator, made from a seed and skewed as real ones are: few models have most of the
// devices, most run the newest version, one in a hundred is in trouble.
namespace countersign::load {

struct FleetComponent {
  std::string serial;
  std::string hardware_id;
  bool constrained = false;
  int state = 1;
  std::string reason;
  std::string version;  // empty: it never reported
  std::string sha256;
  std::string path;
  int verdict = 0;
  absl::Time first_report;
  absl::Time report;
  int64_t refused = 0;
  int64_t failures = 0;
};

struct FleetDevice {
  std::string id;
  std::string manufacturer;
  std::string model;
  std::string app_id;
  int app_id_status = 0;
  std::vector<FleetComponent> components;
};

struct FleetGateway {
  std::string id;
  bool vehicle = false;
  std::string site, ring;  // tags
  absl::Time created;
  absl::Time last_manifest;
  std::vector<FleetDevice> devices;
};

class FleetData {
 public:
  static constexpr int kManufacturers = 40;
  static constexpr int kModels = 2000;

  // Times are before `now`.
  FleetData(uint64_t seed, absl::Time now) : seed_(seed), now_(now) {}

  // Gateway `index`, with five components on the average: always the same.
  FleetGateway Gateway(int64_t index) const;

  // Names of what there is, for questions.
  static std::string GatewayId(int64_t index, bool vehicle);
  static std::string ManufacturerOf(int model);
  static std::string ModelName(int model);
  static std::string Version(int model, int release);
  static int Releases(int model);
  static std::string Digest(int model, const std::string& version);

 private:
  const uint64_t seed_;
  const absl::Time now_;
};

struct LoadTimes {
  double copy_seconds = 0;     // of the rows, by COPY
  double index_seconds = 0;    // of the secondary indexes, which are built afterwards, as a restore does
  double analyze_seconds = 0;  // VACUUM ANALYZE
};

// Fills the inventory's empty and migrated database with the first `gateways` of `fleet`. `seen` is shown
// each of them.
LoadTimes LoadFleet(const std::string& conninfo, const FleetData& fleet, int64_t gateways,
                    const std::function<void(const FleetGateway&)>& seen);

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_FLEET_DATA_H_
