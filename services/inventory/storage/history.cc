#include "services/inventory/storage/history.h"

#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

constexpr char kPartitionPrefix[] = "component_history_";

constexpr char kSelectChanges[] = R"sql(
  SELECT changed_at, id, gateway_id, cause, actor, note, manifest_counter, state, state_reason, image_path, image_length,
         image_sha256, image_version, image_release_counter, image_verdict, software_versions, report_counter,
         attacks_detected
  FROM component_history
  WHERE gateway_id = ANY($1::text[]) AND ecu_serial = $2 AND (changed_at, id) < ($3::timestamptz, $4::bigint)
  ORDER BY changed_at DESC, id DESC LIMIT $5)sql";

constexpr char kSelectGateways[] = R"sql(
  SELECT gateway_id FROM components WHERE gateway_id = $1 AND ecu_serial = $2
    AND ($3 = '' OR manufacturer = $3) AND ($4 = '' OR gateway_id = $4))sql";
constexpr char kSelectFormerGateways[] = "SELECT gateway_id FROM component_moves WHERE ecu_serial = $1";

constexpr char kSelectRefused[] = R"sql(
  SELECT id, received_at, manifest_counter, ecu_serial, reason, message, report FROM refused_reports
  WHERE gateway_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3)sql";

constexpr char kSelectPartitions[] = R"sql(
  SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'component_history'::regclass ORDER BY c.relname)sql";

domain::ComponentChange ReadChange(const pqxx::row& row) {
  domain::ComponentChange change;
  change.time = db::TimeOf(row[0]);
  change.id = row[1].as<int64_t>();
  change.gateway_id = db::TextOf(row[2]);
  change.cause = static_cast<domain::ChangeCause>(row[3].as<int>());
  change.actor = db::TextOf(row[4]);
  change.note = db::TextOf(row[5]);
  change.manifest_counter = row[6].as<int64_t>();
  domain::ComponentStatus& status = change.status;
  status.state = static_cast<domain::State>(row[7].as<int>());
  status.reason = db::TextOf(row[8]);
  if (!row[9].is_null()) {
    status.installed = domain::InstalledImage{db::TextOf(row[9]), row[10].as<int64_t>(), db::TextOf(row[11]),
                                              db::TextOf(row[12]), row[13].as<int64_t>()};
  }
  status.image_verdict = static_cast<domain::ImageVerdict>(row[14].as<int>());
  status.software_versions = DecodeVersions(db::TextOf(row[15]));
  status.report_counter = row[16].as<int64_t>();
  status.attacks_detected = db::TextOf(row[17]);
  return change;
}

// When the month of a partition is over, from its name; nullopt for the default partition.
std::optional<absl::Time> EndOf(absl::string_view partition) {
  const absl::string_view month = partition.substr(sizeof(kPartitionPrefix) - 1);
  int number = 0;
  if (month.size() != 6 || !absl::SimpleAtoi(month, &number)) return std::nullopt;
  return absl::FromCivil(absl::CivilMonth(number / 100, number % 100) + 1, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<std::vector<domain::ComponentChange>> History::ListChanges(
    absl::string_view gateway_id, absl::string_view ecu_serial, const Visibility& visibility,
    const std::optional<Position>& before, int limit) {
  const std::string serial(ecu_serial);
  const Position last =
      before.value_or(Position(absl::InfiniteFuture(), std::numeric_limits<int64_t>::max()));
  return database_.Read(
      "ListComponentHistory",
      [&](db::Reader& reader) -> absl::StatusOr<std::vector<domain::ComponentChange>> {
        std::vector<std::string> gateways;
        for (const pqxx::row& row :
             reader.exec_params(kSelectGateways, std::string(gateway_id), serial,
                                visibility.manufacturer.value_or(""), visibility.gateway_id.value_or(""))) {
          gateways.push_back(db::TextOf(row[0]));
        }
        if (gateways.empty()) {
          return Error(absl::StatusCode::kNotFound, "COMPONENT_UNKNOWN",
                       absl::StrCat("No component ", domain::ComponentName(gateway_id, ecu_serial),
                                    " is provisioned."));
        }
        // Another home's past is not this gateway's to read.
        if (!visibility.gateway_id.has_value()) {
          for (const pqxx::row& row : reader.exec_params(kSelectFormerGateways, serial)) {
            gateways.push_back(db::TextOf(row[0]));
          }
        }
        std::vector<domain::ComponentChange> changes;
        for (const pqxx::row& row : reader.exec_params(kSelectChanges, db::TextArray(gateways), serial,
                                                       db::Timestamp(last.first), last.second, limit)) {
          changes.push_back(ReadChange(row));
        }
        return changes;
      });
}

absl::StatusOr<std::vector<domain::RefusedReport>> History::ListRefused(absl::string_view gateway_id,
                                                                        std::optional<int64_t> before,
                                                                        int limit) {
  return database_.Read(
      "ListRefusedReports", [&](db::Reader& reader) -> absl::StatusOr<std::vector<domain::RefusedReport>> {
        const std::string gateway(gateway_id);
        if (reader.exec_params("SELECT FROM gateways WHERE gateway_id = $1", gateway).empty()) {
          return Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
                       absl::StrCat("Gateway \"", gateway, "\" is not provisioned."));
        }
        std::vector<domain::RefusedReport> reports;
        for (const pqxx::row& row : reader.exec_params(
                 kSelectRefused, gateway, before.value_or(std::numeric_limits<int64_t>::max()), limit)) {
          reports.push_back({row[0].as<int64_t>(), db::TimeOf(row[1]), row[2].as<int64_t>(),
                             db::TextOf(row[3]), db::TextOf(row[4]), db::TextOf(row[5]),
                             db::BytesOf(row[6])});
        }
        return reports;
      });
}

absl::StatusOr<int> History::MakePartitions(absl::Time now, int months) {
  return database_.RunInTransaction("MakeHistoryPartitions", [&](db::Transaction& tx) -> absl::StatusOr<int> {
    int made = 0;
    const absl::CivilMonth first = absl::ToCivilMonth(now, absl::UTCTimeZone());
    for (int i = 0; i <= months; ++i) {
      const absl::Time month = absl::FromCivil(first + i, absl::UTCTimeZone());
      made +=
          tx.exec_params("SELECT make_history_partition($1)", db::Timestamp(month))[0][0].as<bool>() ? 1 : 0;
    }
    return made;
  });
}

absl::StatusOr<int> History::DropPartitions(absl::Time before) {
  return database_.RunInTransaction("DropHistoryPartitions", [&](db::Transaction& tx) -> absl::StatusOr<int> {
    int dropped = 0;
    for (const pqxx::row& row : tx.exec(kSelectPartitions)) {
      const std::string name = db::TextOf(row[0]);
      const std::optional<absl::Time> end = EndOf(name);
      if (!end.has_value() || *end > before) continue;
      // Another replica may have been first.
      tx.exec(absl::StrCat("DROP TABLE IF EXISTS ", tx.quote_name(name)));
      ++dropped;
    }
    tx.exec_params("DELETE FROM component_history_default WHERE changed_at < $1", db::Timestamp(before));
    return dropped;
  });
}

}  // namespace countersign::inventory
