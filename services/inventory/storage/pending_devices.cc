#include "services/inventory/storage/pending_devices.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/domain/names.h"

namespace countersign::inventory {
namespace {

constexpr char kColumns[] = "gateway_id, device_id, manufacturer, payload, announced_at";

constexpr char kInsert[] = R"sql(
  INSERT INTO pending_devices (gateway_id, device_id, manufacturer, payload, announced_at)
  VALUES ($1, $2, $3, $4, $5))sql";

// "" stands for everyone.
constexpr char kVisible[] = "($3 = '' OR manufacturer = $3) AND ($4 = '' OR gateway_id = $4)";

PendingDevice Read(const pqxx::row& row) {
  return {db::TextOf(row[0]), db::TextOf(row[1]), db::TextOf(row[2]), db::BytesOf(row[3]),
          db::TimeOf(row[4])};
}

absl::Status Unknown(absl::string_view gateway_id, absl::string_view device_id) {
  return Error(
      absl::StatusCode::kNotFound, "DEVICE_UNKNOWN",
      absl::StrCat("No device ", domain::FormatDeviceName(gateway_id, device_id), " awaits enrolment."));
}

}  // namespace

absl::StatusOr<PendingDevice> PendingDevices::Announce(const PendingDevice& device,
                                                       const std::vector<std::string>& serials) {
  return database_.RunInTransaction(
      "AnnounceDevice", [&](db::Transaction& tx) -> absl::StatusOr<PendingDevice> {
        if (tx.exec_params("SELECT FROM gateways WHERE gateway_id = $1 FOR NO KEY UPDATE", device.gateway_id)
                .empty()) {
          return Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
                       absl::StrCat("Gateway \"", device.gateway_id, "\" is not provisioned."));
        }
        if (!tx.exec_params("SELECT FROM devices WHERE gateway_id = $1 AND device_id = $2", device.gateway_id,
                            device.device_id)
                 .empty()) {
          return Error(absl::StatusCode::kAlreadyExists, "DEVICE_EXISTS",
                       absl::StrCat("Gateway \"", device.gateway_id, "\" already has a device \"",
                                    device.device_id, "\"."));
        }
        if (!tx.exec_params("SELECT FROM serials WHERE ecu_serial = ANY($1::text[])", db::TextArray(serials))
                 .empty()) {
          return Error(
              absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN",
              "One of its serial numbers is provisioned already: a device moves by its operator's order.");
        }
        const pqxx::result rows =
            tx.exec_params(absl::StrCat("SELECT ", kColumns,
                                        " FROM pending_devices WHERE gateway_id = $1 AND device_id = $2"),
                           device.gateway_id, device.device_id);
        if (!rows.empty()) {
          PendingDevice kept = Read(rows[0]);
          if (kept.payload == device.payload) return kept;
          return Error(
              absl::StatusCode::kFailedPrecondition, "OTHER_KEY",
              absl::StrCat("Device \"", device.device_id,
                           "\" awaits enrolment with other keys or another description: what was told first "
                           "stays until it is approved or rejected."));
        }
        const int count = tx.exec_params("SELECT count(*) FROM pending_devices WHERE gateway_id = $1",
                                         device.gateway_id)[0][0]
                              .as<int>();
        if (count >= kMaxPerGateway) {
          return Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_PENDING",
                       absl::StrCat(kMaxPerGateway,
                                    " devices of the gateway await enrolment: approve or reject some."));
        }
        tx.exec_params(kInsert, device.gateway_id, device.device_id, device.manufacturer,
                       db::Bytes(device.payload), db::Timestamp(device.announced));
        return device;
      });
}

absl::StatusOr<PendingDevice> PendingDevices::Get(absl::string_view gateway_id, absl::string_view device_id,
                                                  const Visibility& visibility) {
  return database_.Read("GetPendingDevice", [&](db::Reader& reader) -> absl::StatusOr<PendingDevice> {
    const pqxx::result rows = reader.exec_params(
        absl::StrCat("SELECT ", kColumns,
                     " FROM pending_devices WHERE gateway_id = $1 AND device_id = $2 AND ", kVisible),
        std::string(gateway_id), std::string(device_id), visibility.manufacturer.value_or(""),
        visibility.gateway_id.value_or(""));
    if (rows.empty()) return Unknown(gateway_id, device_id);
    return Read(rows[0]);
  });
}

absl::StatusOr<std::vector<PendingDevice>> PendingDevices::List(
    absl::string_view gateway_id, const Visibility& visibility,
    const std::pair<std::string, std::string>& after, int limit) {
  return database_.Read(
      "ListPendingDevices", [&](db::Reader& reader) -> absl::StatusOr<std::vector<PendingDevice>> {
        std::vector<PendingDevice> devices;
        for (const pqxx::row& row : reader.exec_params(
                 absl::StrCat("SELECT ", kColumns,
                              " FROM pending_devices WHERE (gateway_id, device_id) > ($1, $2) AND ", kVisible,
                              " AND ($5 = '' OR gateway_id = $5) ORDER BY gateway_id, device_id LIMIT ",
                              limit),
                 after.first, after.second, visibility.manufacturer.value_or(""),
                 visibility.gateway_id.value_or(""), std::string(gateway_id))) {
          devices.push_back(Read(row));
        }
        return devices;
      });
}

absl::Status PendingDevices::Reject(const Mutation& mutation, absl::string_view gateway_id,
                                    absl::string_view device_id, const Visibility& visibility) {
  const auto done =
      database_.RunInTransaction("RejectDevice", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
        return db::Idempotently(
            tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
            [&]() -> absl::StatusOr<std::string> {
              const pqxx::result deleted = tx.exec_params(
                  absl::StrCat("DELETE FROM pending_devices WHERE gateway_id = $1 AND device_id = $2 AND ",
                               kVisible),
                  std::string(gateway_id), std::string(device_id), visibility.manufacturer.value_or(""),
                  visibility.gateway_id.value_or(""));
              if (deleted.affected_rows() == 0) return Unknown(gateway_id, device_id);
              return std::string();
            });
      });
  return done.status();
}

absl::StatusOr<int64_t> PendingDevices::Count() {
  return database_.Read("CountPendingDevices", [&](db::Reader& reader) -> absl::StatusOr<int64_t> {
    return reader.exec("SELECT count(*) FROM pending_devices")[0][0].as<int64_t>();
  });
}

}  // namespace countersign::inventory
