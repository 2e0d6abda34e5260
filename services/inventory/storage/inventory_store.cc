#include "services/inventory/storage/inventory_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/domain/orders.h"
#include "services/inventory/domain/provisioning.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

constexpr char kInsertGateway[] = R"sql(
  INSERT INTO gateways (gateway_id, kind, display_name, public_key_pem, proxy_public_key_pem, created_at, tags)
  VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb)
  ON CONFLICT DO NOTHING)sql";

constexpr char kInsertDevice[] = R"sql(
  INSERT INTO devices (gateway_id, device_id, manufacturer, model, hardware_version, app_id, app_id_status, created_at,
                       app_id_findings, tags)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb)
  ON CONFLICT DO NOTHING)sql";

constexpr char kInsertSerial[] = R"sql(
  INSERT INTO serials (ecu_serial, gateway_id) VALUES ($1, $2) ON CONFLICT DO NOTHING)sql";

constexpr char kInsertComponent[] = R"sql(
  INSERT INTO components (gateway_id, ecu_serial, device_id, hardware_id, public_key_pem, manufacturer, model, state,
                          factory_sha256, tags)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb))sql";

constexpr char kDeletePending[] = R"sql(
  DELETE FROM pending_devices WHERE gateway_id = $1 AND device_id = $2 AND ($3::bytea IS NULL OR payload = $3::bytea))sql";

constexpr char kCountStates[] = R"sql(
  SELECT state, sum(n)::bigint
  FROM (SELECT state, n FROM component_counts UNION ALL SELECT state, n FROM component_count_changes) c
  GROUP BY state)sql";

constexpr char kDeleteRefused[] = R"sql(
  DELETE FROM refused_reports WHERE (gateway_id, id) IN (
    SELECT gateway_id, id FROM refused_reports WHERE received_at < $1 LIMIT 1000))sql";

absl::Status GatewayUnknown(absl::string_view id) {
  return Error(
      absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
      absl::StrCat("Gateway \"", id, "\" is not provisioned: an operator does so with CreateGateway."),
      {{"gateway", std::string(id)}});
}

absl::StatusOr<domain::Gateway> FindGateway(db::Session& session, absl::string_view id) {
  const pqxx::result rows = db::ExecPrepared(
      session, "inventory_gateway",
      absl::StrCat("SELECT ", kGatewayColumns, " FROM gateways WHERE gateway_id = $1"), std::string(id));
  if (rows.empty()) return GatewayUnknown(id);
  return ReadGateway(rows[0]);
}

// A WHERE clause that grows, with its bound parameters.
class Conditions {
 public:
  // The next parameter's placeholder.
  std::string Bind(std::string value) {
    values_.push_back(std::move(value));
    return absl::StrCat("$", values_.size());
  }
  void Add(std::string condition) { conditions_.push_back(std::move(condition)); }
  void AddEquals(absl::string_view column, std::string value) {
    Add(absl::StrCat(column, " = ", Bind(std::move(value))));
  }

  std::string Where() const {
    std::string where;
    for (const std::string& condition : conditions_) {
      absl::StrAppend(&where, where.empty() ? " WHERE " : " AND ", condition);
    }
    return where;
  }
  const std::vector<std::string>& values() const { return values_; }

 private:
  std::vector<std::string> conditions_;
  std::vector<std::string> values_;
};

void AddVisibility(const Visibility& visibility, absl::string_view prefix, Conditions& conditions) {
  if (visibility.manufacturer.has_value()) {
    conditions.AddEquals(absl::StrCat(prefix, "manufacturer"), *visibility.manufacturer);
  }
  if (visibility.gateway_id.has_value()) {
    conditions.AddEquals(absl::StrCat(prefix, "gateway_id"), *visibility.gateway_id);
  }
}

pqxx::result Select(db::Session& session, const std::string& sql, const Conditions& conditions) {
  return session.exec_params(sql, pqxx::prepare::make_dynamic_params(conditions.values()));
}

absl::Status InsertDevice(db::Transaction& tx, const domain::Device& device) {
  const pqxx::result inserted = tx.exec_params(
      kInsertDevice, device.gateway_id, device.id, device.manufacturer, device.model, device.hardware_version,
      device.app_id, static_cast<int>(device.app_id_status), db::Timestamp(device.create_time),
      EncodeFindings(device.app_id_findings), EncodeVersions(device.tags));
  if (inserted.affected_rows() == 0) {
    return Error(
        absl::StatusCode::kAlreadyExists, "DEVICE_EXISTS",
        absl::StrCat("Gateway \"", device.gateway_id, "\" already has a device \"", device.id, "\"."));
  }
  for (const domain::Component& component : device.components) {
    if (tx.exec_params(kInsertSerial, component.ecu_serial, device.gateway_id).affected_rows() == 0) {
      return Error(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN",
                   absl::StrCat("Serial number \"", component.ecu_serial,
                                "\" is taken: serial numbers are unique in the fleet."),
                   {{"ecu_serial", component.ecu_serial}});
    }
    tx.exec_params(kInsertComponent, device.gateway_id, component.ecu_serial, device.id,
                   component.hardware_id, component.public_key_pem, device.manufacturer, device.model,
                   static_cast<int>(component.status.state), component.factory_sha256,
                   EncodeVersions(component.tags));
  }
  return absl::OkStatus();
}

// What both ways to a device of the fleet have in common.
absl::StatusOr<std::string> Provision(
    db::Transaction& tx, domain::Device device, absl::FunctionRef<std::string(const domain::Device&)> encode,
    absl::FunctionRef<std::string(const domain::Component&)> encode_component) {
  ASSIGN_OR_RETURN(const domain::Gateway gateway, FindGateway(tx, device.gateway_id));
  RETURN_IF_ERROR(domain::CheckKeysApart(gateway, device));
  for (domain::Component& component : device.components) {
    component.tags = domain::ComponentTags(gateway.tags, device.tags);
  }
  RETURN_IF_ERROR(InsertDevice(tx, device));
  std::vector<feed::NewEvent> events;
  for (const domain::Component& component : device.components) {
    events.push_back({kComponentChanged, domain::ComponentName(component.gateway_id, component.ecu_serial),
                      encode_component(component)});
  }
  feed::Append(tx, events);
  return encode(device);
}

}  // namespace

absl::StatusOr<std::string> InventoryStore::CreateGateway(
    const Mutation& mutation, const domain::Gateway& gateway,
    absl::FunctionRef<std::string(const domain::Gateway&)> encode) {
  return database_.RunInTransaction("CreateGateway", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          const pqxx::result inserted =
              tx.exec_params(kInsertGateway, gateway.id, static_cast<int>(gateway.kind), gateway.display_name,
                             gateway.public_key_pem, gateway.proxy_public_key_pem,
                             db::Timestamp(gateway.create_time), EncodeVersions(gateway.tags));
          if (inserted.affected_rows() == 0) {
            return Error(absl::StatusCode::kAlreadyExists, "GATEWAY_EXISTS",
                         absl::StrCat("Gateway \"", gateway.id, "\" is provisioned already."));
          }
          return encode(gateway);
        });
  });
}

absl::StatusOr<domain::Gateway> InventoryStore::GetGateway(absl::string_view id) {
  return database_.Read("GetGateway", [&](db::Reader& reader) { return FindGateway(reader, id); });
}

absl::StatusOr<std::string> InventoryStore::CreateDevice(
    const Mutation& mutation, const domain::Device& device,
    absl::FunctionRef<std::string(const domain::Device&)> encode,
    absl::FunctionRef<std::string(const domain::Component&)> encode_component) {
  return database_.RunInTransaction("CreateDevice", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(tx, mutation.principal, mutation.method, mutation.request_id,
                            mutation.request_bytes, [&]() -> absl::StatusOr<std::string> {
                              tx.exec_params(kDeletePending, device.gateway_id, device.id,
                                             std::optional<std::string>());
                              return Provision(tx, device, encode, encode_component);
                            });
  });
}

absl::StatusOr<std::string> InventoryStore::ApproveDevice(
    const Mutation& mutation, const std::optional<domain::Device>& device, absl::string_view announced,
    absl::FunctionRef<std::string(const domain::Device&)> encode,
    absl::FunctionRef<std::string(const domain::Component&)> encode_component) {
  const absl::Status unknown =
      Error(absl::StatusCode::kNotFound, "DEVICE_UNKNOWN", "No such device awaits enrolment.");
  return database_.RunInTransaction("ApproveDevice", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(tx, mutation.principal, mutation.method, mutation.request_id,
                            mutation.request_bytes, [&]() -> absl::StatusOr<std::string> {
                              if (!device.has_value()) return unknown;
                              const pqxx::result deleted =
                                  tx.exec_params(kDeletePending, device->gateway_id, device->id,
                                                 db::NullableBytes(std::string(announced)));
                              if (deleted.affected_rows() == 0) return unknown;
                              return Provision(tx, *device, encode, encode_component);
                            });
  });
}

absl::StatusOr<domain::Device> InventoryStore::GetDevice(absl::string_view gateway_id,
                                                         absl::string_view device_id,
                                                         const Visibility& visibility) {
  return database_.RunInTransaction(
      "GetDevice", db::Isolation::kSnapshot, [&](db::Transaction& tx) -> absl::StatusOr<domain::Device> {
        Conditions conditions;
        conditions.AddEquals("gateway_id", std::string(gateway_id));
        conditions.AddEquals("device_id", std::string(device_id));
        AddVisibility(visibility, "", conditions);
        const pqxx::result rows = Select(
            tx, absl::StrCat("SELECT ", kDeviceColumns, " FROM devices", conditions.Where()), conditions);
        if (rows.empty()) {
          return Error(absl::StatusCode::kNotFound, "DEVICE_UNKNOWN",
                       absl::StrCat("No device ", domain::FormatDeviceName(gateway_id, device_id),
                                    " is provisioned."));
        }
        domain::Device device = ReadDevice(rows[0]);
        LoadComponents(tx, absl::MakeSpan(&device, 1));
        return device;
      });
}

absl::StatusOr<std::map<std::string, std::string>> InventoryStore::FindGateways(
    absl::Span<const std::string> serials) {
  using Gateways = std::map<std::string, std::string>;
  if (serials.empty()) return Gateways();
  return database_.Read("FindGateways", [&](db::Reader& reader) -> absl::StatusOr<Gateways> {
    Gateways gateways;
    const pqxx::result rows =
        reader.exec_params("SELECT ecu_serial, gateway_id FROM serials WHERE ecu_serial = ANY($1::text[])",
                           db::TextArray(serials));
    for (const pqxx::row& row : rows) gateways.emplace(db::TextOf(row[0]), db::TextOf(row[1]));
    return gateways;
  });
}

absl::StatusOr<std::map<domain::State, int64_t>> InventoryStore::CountStates() {
  using Counts = std::map<domain::State, int64_t>;
  return database_.RunInTransaction("CountStates", [&](db::Transaction& tx) -> absl::StatusOr<Counts> {
    Counts counts;
    for (domain::State state : domain::kAllStates) counts[state] = 0;
    tx.exec("SELECT fold_component_counts()");
    for (const pqxx::row& row : tx.exec(kCountStates)) {
      counts[static_cast<domain::State>(row[0].as<int>())] = row[1].as<int64_t>();
    }
    return counts;
  });
}

absl::StatusOr<int64_t> InventoryStore::CountUnconfirmed(absl::Time before) {
  return database_.Read("CountUnconfirmed", [&](db::Reader& reader) -> absl::StatusOr<int64_t> {
    return reader
        .exec_params(
            "SELECT count(*) FROM components WHERE state = 6 AND quarantine_confirmed_at IS NULL "
            "AND quarantine_ordered_at < $1",
            db::Timestamp(before))[0][0]
        .as<int64_t>();
  });
}

absl::StatusOr<int64_t> InventoryStore::PurgeRefusedReports(absl::Time before) {
  int64_t total = 0;
  while (true) {
    ASSIGN_OR_RETURN(const int64_t deleted,
                     database_.RunInTransaction(
                         "PurgeRefusedReports", [&](db::Transaction& tx) -> absl::StatusOr<int64_t> {
                           return tx.exec_params(kDeleteRefused, db::Timestamp(before)).affected_rows();
                         }));
    total += deleted;
    if (deleted == 0) return total;
  }
}

}  // namespace countersign::inventory
