#include "services/inventory/storage/orders.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/domain/provisioning.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

// A release remembers the image: the policy does not stop it again for that one.
constexpr char kUpdateOrdered[] = R"sql(
  UPDATE components SET state = $3::smallint, state_reason = $4, quarantine_ordered_at = $5, quarantine_ordered_by = $6,
    quarantine_reason = $7, quarantine_confirmed_at = $8,
    released_sha256 = CASE WHEN state = 6 AND $3::smallint = 1 THEN image_sha256 ELSE released_sha256 END
  WHERE gateway_id = $1 AND ecu_serial = $2)sql";

constexpr char kFailure[] = R"sql(
  UPDATE components SET failure_count = $3, last_errors = $4 WHERE gateway_id = $1 AND ecu_serial = $2)sql";

constexpr char kRememberMove[] = R"sql(
  INSERT INTO component_moves (ecu_serial, gateway_id, moved_at) SELECT unnest($1::text[]), $2::text, $3::timestamptz
  ON CONFLICT (ecu_serial, gateway_id) DO UPDATE SET moved_at = excluded.moved_at)sql";

constexpr char kTagComponents[] = R"sql(
  UPDATE components c SET tags = g.tags || d.tags
  FROM gateways g JOIN devices d USING (gateway_id)
  WHERE g.gateway_id = $1 AND c.gateway_id = d.gateway_id AND c.device_id = d.device_id
    AND ($2 = '' OR c.device_id = $2))sql";

constexpr char kSelectGateways[] = R"sql(
  SELECT gateway_id, public_key_pem, proxy_public_key_pem FROM gateways WHERE gateway_id = ANY($1::text[]))sql";

constexpr char kSelectDeviceSerials[] = R"sql(
  SELECT ecu_serial FROM components WHERE gateway_id = $1 AND device_id = $2 ORDER BY ecu_serial)sql";

absl::Status DeviceUnknown(absl::string_view gateway_id, absl::string_view device_id) {
  return Error(
      absl::StatusCode::kNotFound, "DEVICE_UNKNOWN",
      absl::StrCat("No device ", domain::FormatDeviceName(gateway_id, device_id), " is provisioned."));
}

absl::Status GatewayUnknown(absl::string_view gateway_id) {
  return Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
               absl::StrCat("Gateway \"", gateway_id,
                            "\" is not provisioned: an operator does so with CreateGateway."),
               {{"gateway", std::string(gateway_id)}});
}

absl::StatusOr<domain::Device> LoadDevice(db::Transaction& tx, const std::string& gateway_id,
                                          const std::string& device_id) {
  const pqxx::result rows = tx.exec_params(
      absl::StrCat("SELECT ", kDeviceColumns, " FROM devices WHERE gateway_id = $1 AND device_id = $2"),
      gateway_id, device_id);
  if (rows.empty()) return DeviceUnknown(gateway_id, device_id);
  domain::Device device = ReadDevice(rows[0]);
  std::vector<std::string> gateways, serials;
  for (const pqxx::row& row : tx.exec_params(kSelectDeviceSerials, gateway_id, device_id)) {
    gateways.push_back(gateway_id);
    serials.push_back(db::TextOf(row[0]));
  }
  device.components = LoadComponents(tx, gateways, serials);
  return device;
}

}  // namespace

absl::StatusOr<std::string> Orders::Apply(const Mutation& mutation, absl::string_view gateway_id,
                                          absl::string_view ecu_serial, absl::string_view note,
                                          absl::Time now, Rule rule) {
  return database_.RunInTransaction("ApplyOrder", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          ASSIGN_OR_RETURN(domain::Component component, LockComponent(tx, gateway_id, ecu_serial));
          domain::ComponentStatus& status = component.status;
          ASSIGN_OR_RETURN(const bool changed, rule(status));
          if (!changed) return encode_(component);
          const std::optional<domain::Quarantine>& order = status.quarantine;
          tx.exec_params(kUpdateOrdered, component.gateway_id, component.ecu_serial,
                         static_cast<int>(status.state), status.reason,
                         db::NullableTimestamp(order ? std::optional(order->order_time) : std::nullopt),
                         order ? std::optional(order->ordered_by) : std::nullopt,
                         order ? std::optional(order->reason) : std::nullopt,
                         db::NullableTimestamp(order ? order->confirm_time : std::nullopt));
          ChangedComponents changes;
          changes.cause = domain::ChangeCause::kOrder;
          changes.actor = mutation.principal;
          changes.note = std::string(note);
          changes.Add(component.gateway_id, component.ecu_serial, now);
          RecordChanges(tx, changes, encode_);
          return encode_(component);
        });
  });
}

absl::StatusOr<std::string> Orders::Move(const Mutation& mutation, absl::string_view gateway_id,
                                         absl::string_view device_id, absl::string_view destination,
                                         absl::Time now,
                                         absl::FunctionRef<std::string(const domain::Device&)> encode) {
  const std::string from(gateway_id);
  const std::string to(destination);
  const std::string id(device_id);
  return database_.RunInTransaction("MoveDevice", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          LockGateways(tx, {from, to});
          ASSIGN_OR_RETURN(const domain::Device device, LoadDevice(tx, from, id));
          const pqxx::result gateways = tx.exec_params(kSelectGateways, db::TextArray({to}));
          if (gateways.empty()) return GatewayUnknown(to);
          domain::Gateway gateway;
          gateway.id = to;
          gateway.public_key_pem = db::TextOf(gateways[0][1]);
          gateway.proxy_public_key_pem = db::TextOf(gateways[0][2]);
          RETURN_IF_ERROR(domain::CheckKeysApart(gateway, device));
          if (!tx.exec_params("SELECT FROM devices WHERE gateway_id = $1 AND device_id = $2", to, id)
                   .empty()) {
            return Error(absl::StatusCode::kAlreadyExists, "DEVICE_EXISTS",
                         absl::StrCat("Gateway \"", to, "\" already has a device \"", id, "\"."));
          }

          std::vector<std::string> serials;
          ChangedComponents changes;
          changes.cause = domain::ChangeCause::kMove;
          changes.actor = mutation.principal;
          changes.note = absl::StrCat("from gateway ", from);
          std::vector<feed::NewEvent> left;
          for (domain::Component component : device.components) {
            serials.push_back(component.ecu_serial);
            changes.Add(to, component.ecu_serial, now);
            component.status.state = domain::State::kRetired;
            component.status.reason = "MOVED";
            component.status.quarantine.reset();
            left.push_back(
                {kComponentChanged, domain::ComponentName(from, component.ecu_serial), encode_(component)});
          }
          tx.exec_params("UPDATE devices SET gateway_id = $3 WHERE gateway_id = $1 AND device_id = $2", from,
                         id, to);
          tx.exec_params("UPDATE components SET gateway_id = $3 WHERE gateway_id = $1 AND device_id = $2",
                         from, id, to);
          tx.exec_params("UPDATE serials SET gateway_id = $2 WHERE ecu_serial = ANY($1::text[])",
                         db::TextArray(serials), to);
          tx.exec_params(kRememberMove, db::TextArray(serials), from, db::Timestamp(now));
          tx.exec_params(kTagComponents, to, id);
          feed::Append(tx, left);
          RecordChanges(tx, changes, encode_);
          ASSIGN_OR_RETURN(const domain::Device moved, LoadDevice(tx, to, id));
          return encode(moved);
        });
  });
}

absl::StatusOr<std::string> Orders::SetTags(const Mutation& mutation, absl::string_view gateway_id,
                                            absl::string_view device_id, const domain::Tags& set,
                                            const std::vector<std::string>& remove,
                                            absl::FunctionRef<std::string(const domain::Tags&)> encode) {
  const std::string gateway(gateway_id);
  const std::string device(device_id);
  return database_.RunInTransaction("SetTags", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          LockGateways(tx, {gateway});
          const pqxx::result rows =
              device.empty()
                  ? tx.exec_params("SELECT tags FROM gateways WHERE gateway_id = $1", gateway)
                  : tx.exec_params("SELECT tags FROM devices WHERE gateway_id = $1 AND device_id = $2",
                                   gateway, device);
          if (rows.empty()) return device.empty() ? GatewayUnknown(gateway) : DeviceUnknown(gateway, device);
          ASSIGN_OR_RETURN(const domain::Tags tags,
                           domain::ChangeTags(DecodeVersions(db::TextOf(rows[0][0])), set, remove));
          if (device.empty()) {
            tx.exec_params("UPDATE gateways SET tags = $2::jsonb WHERE gateway_id = $1", gateway,
                           EncodeVersions(tags));
          } else {
            tx.exec_params("UPDATE devices SET tags = $3::jsonb WHERE gateway_id = $1 AND device_id = $2",
                           gateway, device, EncodeVersions(tags));
          }
          tx.exec_params(kTagComponents, gateway, device);
          return encode(tags);
        });
  });
}

absl::Status Orders::TakeFailure(db::Transaction& tx, const UpdateOutcome& outcome) {
  absl::StatusOr<domain::Component> component = LockComponent(tx, outcome.gateway_id, outcome.ecu_serial);
  if (absl::IsNotFound(component.status())) return absl::OkStatus();
  RETURN_IF_ERROR(component.status());
  domain::AddFailure(outcome.failure, component->status);
  tx.exec_params(kFailure, outcome.gateway_id, outcome.ecu_serial, component->status.failure_count,
                 EncodeFailures(component->status.last_errors));
  AnnounceChanges(tx, {outcome.gateway_id}, {outcome.ecu_serial}, encode_);
  return absl::OkStatus();
}

}  // namespace countersign::inventory
