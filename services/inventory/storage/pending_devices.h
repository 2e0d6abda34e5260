#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_PENDING_DEVICES_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_PENDING_DEVICES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/storage/inventory_store.h"

namespace countersign::inventory {

// A device that a gateway announced: its name and manufacturer, and all of it as the caller encodes it.
struct PendingDevice {
  std::string gateway_id;
  std::string device_id;
  std::string manufacturer;
  std::string payload;
  absl::Time announced;
};

// Devices that await enrolment. Nothing of them is in the tables of the fleet, and they hold no serial
// number. Thread-safe. Blocks.
class PendingDevices {
 public:
  // Of one gateway: who announces more gets RESOURCE_EXHAUSTED.
  static constexpr int kMaxPerGateway = 64;

  explicit PendingDevices(db::Database& database) : database_(database) {}

  // Keeps `device`; `serials` are those of its components. Announced again with the same payload it stays as
  // it was; returns what is kept. NOT_FOUND (GATEWAY_UNKNOWN), ALREADY_EXISTS (DEVICE_EXISTS,
  // ECU_SERIAL_TAKEN), FAILED_PRECONDITION (OTHER_KEY), RESOURCE_EXHAUSTED (TOO_MANY_PENDING).
  absl::StatusOr<PendingDevice> Announce(const PendingDevice& device,
                                         const std::vector<std::string>& serials);

  // NOT_FOUND (DEVICE_UNKNOWN), also for one that is not visible.
  absl::StatusOr<PendingDevice> Get(absl::string_view gateway_id, absl::string_view device_id,
                                    const Visibility& visibility);
  // At most `limit` after `after`, by (gateway, device); of `gateway_id`, or of all when it is "".
  absl::StatusOr<std::vector<PendingDevice>> List(absl::string_view gateway_id, const Visibility& visibility,
                                                  const std::pair<std::string, std::string>& after,
                                                  int limit);
  // NOT_FOUND (DEVICE_UNKNOWN). What an equal request got before it gets again.
  absl::Status Reject(const Mutation& mutation, absl::string_view gateway_id, absl::string_view device_id,
                      const Visibility& visibility);

  absl::StatusOr<int64_t> Count();

 private:
  db::Database& database_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_PENDING_DEVICES_H_
