#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_COMPONENT_CHANGES_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_COMPONENT_CHANGES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"

// What every change of a component has in common. Within a transaction; throws pqxx's exceptions.
namespace countersign::inventory {

// The outbox's payload of a component.
using EncodeComponent = std::function<std::string(const domain::Component&)>;

// Components that a transaction has changed, in columns.
struct ChangedComponents {
  domain::ChangeCause cause = domain::ChangeCause::kReport;
  std::string actor;  // role/id; empty for a report, and for what the service found by itself
  std::string note;
  std::vector<std::string> gateways;
  std::vector<std::string> serials;
  std::vector<absl::Time> times;
  std::vector<int64_t> manifest_counters;  // 0 when no manifest brought it

  void Add(std::string gateway_id, std::string ecu_serial, absl::Time time, int64_t manifest_counter = 0);
  bool empty() const { return serials.empty(); }
};

// Takes the rows as they are now into the history, and appends them to the outbox.
void RecordChanges(db::Transaction& tx, const ChangedComponents& changed, const EncodeComponent& encode);
// The outbox only: for what is no part of the history.
void AnnounceChanges(db::Transaction& tx, absl::Span<const std::string> gateways,
                     absl::Span<const std::string> serials, const EncodeComponent& encode);

// Locks the rows of these gateways, in order: whoever changes a component holds its gateway's.
void LockGateways(db::Transaction& tx, const std::vector<std::string>& gateway_ids);

// These components as they are, in order of (gateway, ecu_serial); those that are not there are left out.
std::vector<domain::Component> LoadComponents(db::Session& session, absl::Span<const std::string> gateways,
                                              absl::Span<const std::string> serials);

// The component, with its gateway's row locked. NOT_FOUND (COMPONENT_UNKNOWN).
absl::StatusOr<domain::Component> LockComponent(db::Transaction& tx, absl::string_view gateway_id,
                                                absl::string_view ecu_serial);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_COMPONENT_CHANGES_H_
