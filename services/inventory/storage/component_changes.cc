#include "services/inventory/storage/component_changes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/status/errors.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

constexpr char kInsertHistory[] = R"sql(
  INSERT INTO component_history (gateway_id, ecu_serial, changed_at, manifest_counter, report_counter, state,
    state_reason, image_path, image_length, image_sha256, image_version, image_release_counter, image_verdict,
    software_versions, attacks_detected, cause, actor, note)
  SELECT c.gateway_id, c.ecu_serial, n.changed_at, n.manifest_counter, c.report_counter, c.state, c.state_reason,
    c.image_path, c.image_length, c.image_sha256, c.image_version, c.image_release_counter, c.image_verdict,
    c.software_versions, c.attacks_detected, $5, $6, $7
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
    AS n (gateway_id, ecu_serial, changed_at, manifest_counter)
  JOIN components c USING (gateway_id, ecu_serial))sql";

constexpr char kLockGateways[] = R"sql(
  SELECT FROM gateways WHERE gateway_id = ANY($1::text[]) ORDER BY gateway_id FOR NO KEY UPDATE)sql";

}  // namespace

void ChangedComponents::Add(std::string gateway_id, std::string ecu_serial, absl::Time time,
                            int64_t manifest_counter) {
  gateways.push_back(std::move(gateway_id));
  serials.push_back(std::move(ecu_serial));
  times.push_back(time);
  manifest_counters.push_back(manifest_counter);
}

void RecordChanges(db::Transaction& tx, const ChangedComponents& changed, const EncodeComponent& encode) {
  if (changed.empty()) return;
  db::ExecPrepared(tx, "inventory_insert_history", kInsertHistory, db::TextArray(changed.gateways),
                   db::TextArray(changed.serials), db::TimestampArray(changed.times),
                   db::BigintArray(changed.manifest_counters), static_cast<int>(changed.cause), changed.actor,
                   changed.note);
  AnnounceChanges(tx, changed.gateways, changed.serials, encode);
}

void AnnounceChanges(db::Transaction& tx, absl::Span<const std::string> gateways,
                     absl::Span<const std::string> serials, const EncodeComponent& encode) {
  std::vector<feed::NewEvent> events;
  for (const domain::Component& component : LoadComponents(tx, gateways, serials)) {
    events.push_back({kComponentChanged, domain::ComponentName(component.gateway_id, component.ecu_serial),
                      encode(component)});
  }
  if (!events.empty()) feed::Append(tx, events);
}

void LockGateways(db::Transaction& tx, const std::vector<std::string>& gateway_ids) {
  tx.exec_params(kLockGateways, db::TextArray(gateway_ids));
}

std::vector<domain::Component> LoadComponents(db::Session& session, absl::Span<const std::string> gateways,
                                              absl::Span<const std::string> serials) {
  static const std::string& sql =
      *new std::string(absl::StrCat("SELECT ", kComponentColumns,
                                    " FROM unnest($1::text[], $2::text[]) AS n (gateway_id, ecu_serial) "
                                    "JOIN components c USING (gateway_id, ecu_serial) "
                                    "ORDER BY c.gateway_id, c.ecu_serial"));
  std::vector<domain::Component> components;
  for (const pqxx::row& row : db::ExecPrepared(session, "inventory_changed_components", sql,
                                               db::TextArray(gateways), db::TextArray(serials))) {
    components.push_back(ReadComponent(row));
  }
  return components;
}

absl::StatusOr<domain::Component> LockComponent(db::Transaction& tx, absl::string_view gateway_id,
                                                absl::string_view ecu_serial) {
  const std::string gateway(gateway_id);
  const std::string serial(ecu_serial);
  LockGateways(tx, {gateway});
  std::vector<domain::Component> found = LoadComponents(tx, {gateway}, {serial});
  if (found.empty()) {
    return Error(
        absl::StatusCode::kNotFound, "COMPONENT_UNKNOWN",
        absl::StrCat("No component ", domain::ComponentName(gateway_id, ecu_serial), " is provisioned."));
  }
  return std::move(found[0]);
}

}  // namespace countersign::inventory
