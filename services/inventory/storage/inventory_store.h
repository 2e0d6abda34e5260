#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_INVENTORY_STORE_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_INVENTORY_STORE_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"

namespace countersign::inventory {

// Who asks for a change, and what identifies the request (common/db/request_ids.h).
struct Mutation {
  std::string principal;
  std::string method;
  std::string request_id;
  std::string request_bytes;
};

// What the caller may see: nothing set is everything. An addition to every query, not a check afterwards.
struct Visibility {
  std::optional<std::string> manufacturer;
  std::optional<std::string> gateway_id;
};

// Position of a component in the order of (gateway, ecu_serial).
using ComponentKey = std::pair<std::string, std::string>;

// Gateways, devices and components in PostgreSQL; manifests are ManifestWriter's, lists FleetQueries'.
// Thread-safe. Blocks. Errors are those named here and Database's.
class InventoryStore {
 public:
  // `database` must outlive it.
  explicit InventoryStore(db::Database& database) : database_(database) {}

  // Stores `gateway` and returns what `encode` makes of it, or what an equal request got before.
  // ALREADY_EXISTS (GATEWAY_EXISTS).
  absl::StatusOr<std::string> CreateGateway(const Mutation& mutation, const domain::Gateway& gateway,
                                            absl::FunctionRef<std::string(const domain::Gateway&)> encode);
  absl::StatusOr<domain::Gateway> GetGateway(absl::string_view id);  // NOT_FOUND (GATEWAY_UNKNOWN)

  // Likewise. Each component becomes an event in the outbox, with what `encode_component` makes of it.
  // NOT_FOUND (GATEWAY_UNKNOWN), ALREADY_EXISTS (DEVICE_EXISTS, ECU_SERIAL_TAKEN), INVALID_ARGUMENT
  // (KEY_INVALID) for a key of its gateway.
  absl::StatusOr<std::string> CreateDevice(
      const Mutation& mutation, const domain::Device& device,
      absl::FunctionRef<std::string(const domain::Device&)> encode,
      absl::FunctionRef<std::string(const domain::Component&)> encode_component);
  // The same for a device that awaited enrolment with this announcement (pending_devices.h), which ends.
  // Without `device` there is none: what an equal request got before, or NOT_FOUND (DEVICE_UNKNOWN).
  absl::StatusOr<std::string> ApproveDevice(
      const Mutation& mutation, const std::optional<domain::Device>& device, absl::string_view announced,
      absl::FunctionRef<std::string(const domain::Device&)> encode,
      absl::FunctionRef<std::string(const domain::Component&)> encode_component);
  // NOT_FOUND (DEVICE_UNKNOWN), also for one that is there and not visible.
  absl::StatusOr<domain::Device> GetDevice(absl::string_view gateway_id, absl::string_view device_id,
                                           const Visibility& visibility);

  // The gateway of each of `serials` that is provisioned.
  absl::StatusOr<std::map<std::string, std::string>> FindGateways(absl::Span<const std::string> serials);

  // How many components are in each state, by the counts that are kept; brings these up to date, too.
  absl::StatusOr<std::map<domain::State, int64_t>> CountStates();

  // How many components were ordered to stop before `before` and have not confirmed it.
  absl::StatusOr<int64_t> CountUnconfirmed(absl::Time before);

  // Deletes refused reports from before `before`, in transactions of bounded size. Returns how many.
  absl::StatusOr<int64_t> PurgeRefusedReports(absl::Time before);

 private:
  db::Database& database_;
};

// Kind of the events in the outbox; the key is the component's name, the payload the encoded component.
inline constexpr char kComponentChanged[] = "component.changed";

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_INVENTORY_STORE_H_
