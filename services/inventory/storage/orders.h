#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_ORDERS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_ORDERS_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/domain/orders.h"
#include "services/inventory/storage/component_changes.h"
#include "services/inventory/storage/inventory_store.h"

namespace countersign::inventory {

// An update that failed, as the rollout tells of it.
struct UpdateOutcome {
  std::string gateway_id;
  std::string ecu_serial;
  domain::UpdateFailure failure;
};

// What people order about what is provisioned, and what others tell of it. Each change is in the history and
// in the outbox with the transaction that makes it. Thread-safe. Blocks.
class Orders {
 public:
  // `database` must outlive it.
  Orders(db::Database& database, EncodeComponent encode) : database_(database), encode_(std::move(encode)) {}

  // Applies `rule` (domain/orders.h) to a component, and returns the component afterwards, encoded; or what
  // an equal request got before. `note` says why. NOT_FOUND (COMPONENT_UNKNOWN), and what the rule returns.
  using Rule = absl::FunctionRef<absl::StatusOr<bool>(domain::ComponentStatus& status)>;
  absl::StatusOr<std::string> Apply(const Mutation& mutation, absl::string_view gateway_id,
                                    absl::string_view ecu_serial, absl::string_view note, absl::Time now,
                                    Rule rule);

  // Moves a device with its components behind `destination`, and returns it, encoded. Watchers hear of each
  // component twice: RETIRED (MOVED) where it was, and as it is where it is. NOT_FOUND (DEVICE_UNKNOWN,
  // GATEWAY_UNKNOWN), ALREADY_EXISTS (DEVICE_EXISTS), INVALID_ARGUMENT (KEY_INVALID).
  absl::StatusOr<std::string> Move(const Mutation& mutation, absl::string_view gateway_id,
                                   absl::string_view device_id, absl::string_view destination, absl::Time now,
                                   absl::FunctionRef<std::string(const domain::Device&)> encode);

  // The tags afterwards, encoded. `device_id` is "" for the gateway's own. NOT_FOUND, INVALID_ARGUMENT
  // (TAG_INVALID).
  absl::StatusOr<std::string> SetTags(const Mutation& mutation, absl::string_view gateway_id,
                                      absl::string_view device_id, const domain::Tags& set,
                                      const std::vector<std::string>& remove,
                                      absl::FunctionRef<std::string(const domain::Tags&)> encode);

  // Counts a failed update (FOTA-P1), within the transaction that takes it from the feed; one of a component
  // that is not there is nothing.
  absl::Status TakeFailure(db::Transaction& tx, const UpdateOutcome& outcome);

 private:
  db::Database& database_;
  const EncodeComponent encode_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_ORDERS_H_
