#include "services/liaison/storage/liaison_store.h"

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::liaison {
namespace {

using domain::Manufacturer;
using domain::Notice;
using domain::Release;

constexpr char kManufacturerColumns[] =
    "id, display_name, channel, backend_address, create_time, refresh_state, refresh_time, refresh_error, "
    "next_refresh, proposed_sha256";
constexpr char kReleaseColumns[] =
    "manufacturer, id, component, version, version_format, release_counter, models, hardware_ids, "
    "minimum_installed_version, info, state, create_time";
constexpr char kNoticeColumns[] = "n.manufacturer, n.id, n.kind, n.models, n.body, n.state, n.create_time";

Manufacturer ToManufacturer(const pqxx::row& row) {
  Manufacturer manufacturer;
  manufacturer.id = row["id"].as<std::string>();
  manufacturer.display_name = db::TextOf(row["display_name"]);
  manufacturer.channel = static_cast<domain::Channel>(row["channel"].as<int>());
  manufacturer.backend_address = db::TextOf(row["backend_address"]);
  manufacturer.create_time = db::TimeOf(row["create_time"]);
  manufacturer.refresh_state = static_cast<domain::RefreshState>(row["refresh_state"].as<int>());
  manufacturer.refresh_time = db::NullableTimeOf(row["refresh_time"]);
  manufacturer.refresh_error = db::TextOf(row["refresh_error"]);
  manufacturer.next_refresh = db::TimeOf(row["next_refresh"]);
  manufacturer.proposed_sha256 = row["proposed_sha256"].as<std::string>();
  return manufacturer;
}

Release ToRelease(const pqxx::row& row) {
  Release release;
  release.manufacturer = row["manufacturer"].as<std::string>();
  release.offer.release_id = row["id"].as<std::string>();
  release.offer.component = row["component"].as<std::string>();
  release.offer.version = row["version"].as<std::string>();
  release.offer.version_format = static_cast<VersionFormat>(row["version_format"].as<int>());
  release.offer.release_counter = row["release_counter"].as<int64_t>();
  release.offer.models = db::TextArrayOf(row["models"]);
  release.offer.hardware_ids = db::TextArrayOf(row["hardware_ids"]);
  release.offer.minimum_installed_version = row["minimum_installed_version"].as<std::string>();
  release.info = db::BytesOf(row["info"]);
  release.state = static_cast<domain::ReleaseState>(row["state"].as<int>());
  release.create_time = db::TimeOf(row["create_time"]);
  return release;
}

Notice ToNotice(const pqxx::row& row) {
  Notice notice;
  notice.manufacturer = row["manufacturer"].as<std::string>();
  notice.id = row["id"].as<std::string>();
  notice.kind = static_cast<domain::NoticeKind>(row["kind"].as<int>());
  notice.models = db::TextArrayOf(row["models"]);
  notice.text = db::TextOf(row["body"]);
  notice.state = static_cast<domain::NoticeState>(row["state"].as<int>());
  notice.create_time = db::TimeOf(row["create_time"]);
  return notice;
}

template <typename Value>
std::vector<Value> ToAll(const pqxx::result& rows, Value (*convert)(const pqxx::row&)) {
  std::vector<Value> values;
  for (const pqxx::row& row : rows) values.push_back(convert(row));
  return values;
}

absl::Status UnknownManufacturer(absl::string_view id) {
  return Error(
      absl::StatusCode::kNotFound, "MANUFACTURER_UNKNOWN",
      absl::StrCat("there is no manufacturer \"", id, "\": the operator adds it with CreateManufacturer"));
}

absl::Status LeaseLost(absl::string_view id) {
  return Error(absl::StatusCode::kAborted, "LEASE_LOST",
               absl::StrCat("another replica asks the backend of ", id, " now"));
}

// Locks the manufacturer's row: its releases change one at a time, so that counters are compared with all
// others.
absl::StatusOr<std::vector<domain::Offer>> LockOffers(db::Transaction& tx, absl::string_view manufacturer,
                                                      absl::string_view component) {
  const std::string id(manufacturer);
  if (tx.exec_params("SELECT 1 FROM manufacturers WHERE id = $1 FOR UPDATE", id).empty()) {
    return UnknownManufacturer(manufacturer);
  }
  std::vector<domain::Offer> offers;
  for (const pqxx::row& row :
       tx.exec_params(absl::StrCat("SELECT ", kReleaseColumns,
                                   " FROM releases WHERE manufacturer = $1 AND component = $2"),
                      id, std::string(component))) {
    offers.push_back(ToRelease(row).offer);
  }
  return offers;
}

void InsertRelease(db::Transaction& tx, const Release& release) {
  const domain::Offer& offer = release.offer;
  tx.exec_params(absl::StrCat("INSERT INTO releases (", kReleaseColumns,
                              ") VALUES ($1, $2, $3, $4, $5, $6, $7::text[], $8::text[], $9, $10, $11, $12)"),
                 release.manufacturer, offer.release_id, offer.component, offer.version,
                 static_cast<int>(offer.version_format), offer.release_counter, db::TextArray(offer.models),
                 db::TextArray(offer.hardware_ids), offer.minimum_installed_version, db::Bytes(release.info),
                 static_cast<int>(release.state), db::Timestamp(release.create_time));
}

// NOT_FOUND (RELEASE_UNKNOWN).
absl::StatusOr<Release> SelectRelease(db::Session& session, absl::string_view manufacturer,
                                      absl::string_view id) {
  const pqxx::result rows = session.exec_params(
      absl::StrCat("SELECT ", kReleaseColumns, " FROM releases WHERE manufacturer = $1 AND id = $2"),
      std::string(manufacturer), std::string(id));
  if (!rows.empty()) return ToRelease(rows[0]);
  return Error(absl::StatusCode::kNotFound, "RELEASE_UNKNOWN",
               absl::StrCat("manufacturer ", manufacturer, " has no release \"", id, "\""));
}

absl::StatusOr<Manufacturer> SelectManufacturer(db::Session& session, absl::string_view id) {
  const pqxx::result rows = session.exec_params(
      absl::StrCat("SELECT ", kManufacturerColumns, " FROM manufacturers WHERE id = $1"), std::string(id));
  if (!rows.empty()) return ToManufacturer(rows[0]);
  return UnknownManufacturer(id);
}

}  // namespace

absl::StatusOr<std::string> LiaisonStore::CreateManufacturer(const Mutation& mutation,
                                                             const Manufacturer& manufacturer,
                                                             Encode<Manufacturer> encode) {
  return database_.RunInTransaction("CreateManufacturer", [&](db::Transaction& tx) {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          const pqxx::result inserted = tx.exec_params(
              "INSERT INTO manufacturers (id, display_name, channel, backend_address, create_time, "
              "next_refresh) "
              "VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING",
              manufacturer.id, manufacturer.display_name, static_cast<int>(manufacturer.channel),
              manufacturer.backend_address, db::Timestamp(manufacturer.create_time));
          if (inserted.affected_rows() == 1) return encode(manufacturer);
          return Error(absl::StatusCode::kAlreadyExists, "MANUFACTURER_EXISTS",
                       absl::StrCat("manufacturer ", manufacturer.id, " is there already"));
        });
  });
}

absl::StatusOr<Manufacturer> LiaisonStore::GetManufacturer(absl::string_view id) {
  return database_.Read("GetManufacturer",
                        [&](db::Reader& reader) { return SelectManufacturer(reader, id); });
}

absl::StatusOr<std::vector<Manufacturer>> LiaisonStore::ListManufacturers(absl::string_view after,
                                                                          int limit) {
  return database_.Read(
      "ListManufacturers", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Manufacturer>> {
        return ToAll(
            reader.exec_params(absl::StrCat("SELECT ", kManufacturerColumns,
                                            " FROM manufacturers WHERE id > $1 ORDER BY id LIMIT $2"),
                               std::string(after), limit),
            &ToManufacturer);
      });
}

absl::StatusOr<std::string> LiaisonStore::RequestRefresh(const Mutation& mutation, absl::string_view id,
                                                         absl::Time now, Encode<Manufacturer> encode) {
  return database_.RunInTransaction("RequestRefresh", [&](db::Transaction& tx) {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          tx.exec_params(
              "UPDATE manufacturers SET next_refresh = $2, refresh_state = $3 WHERE id = $1 AND channel = $4",
              std::string(id), db::Timestamp(now), static_cast<int>(domain::RefreshState::kRunning),
              static_cast<int>(domain::Channel::kBackend));
          ASSIGN_OR_RETURN(const Manufacturer manufacturer, SelectManufacturer(tx, id));
          if (manufacturer.channel == domain::Channel::kBackend) return encode(manufacturer);
          return Error(absl::StatusCode::kFailedPrecondition, "NO_BACKEND",
                       absl::StrCat("manufacturer ", id, " pushes its releases: it has no backend to ask"));
        });
  });
}

absl::StatusOr<std::optional<Manufacturer>> LiaisonStore::ClaimRefresh(absl::string_view owner,
                                                                       absl::Time now,
                                                                       absl::Time lease_until) {
  return database_.RunInTransaction(
      "ClaimRefresh", [&](db::Transaction& tx) -> absl::StatusOr<std::optional<Manufacturer>> {
        const pqxx::result rows = tx.exec_params(
            absl::StrCat(
                "UPDATE manufacturers SET lease_owner = $1, lease_until = $3, refresh_state = $4 WHERE id = ("
                "SELECT id FROM manufacturers WHERE channel = $5 AND next_refresh <= $2 AND "
                "(lease_until IS NULL OR lease_until <= $2) ORDER BY next_refresh LIMIT 1 FOR UPDATE SKIP "
                "LOCKED) "
                "RETURNING ",
                kManufacturerColumns),
            std::string(owner), db::Timestamp(now), db::Timestamp(lease_until),
            static_cast<int>(domain::RefreshState::kRunning), static_cast<int>(domain::Channel::kBackend));
        if (rows.empty()) return std::nullopt;
        return ToManufacturer(rows[0]);
      });
}

absl::Status LiaisonStore::ExtendLease(absl::string_view id, absl::string_view owner,
                                       absl::Time lease_until) {
  return database_.RunInTransaction("ExtendLease", [&](db::Transaction& tx) -> absl::Status {
    const pqxx::result updated =
        tx.exec_params("UPDATE manufacturers SET lease_until = $3 WHERE id = $1 AND lease_owner = $2",
                       std::string(id), std::string(owner), db::Timestamp(lease_until));
    return updated.affected_rows() == 1 ? absl::OkStatus() : LeaseLost(id);
  });
}

absl::Status LiaisonStore::FinishRefresh(absl::string_view id, absl::string_view owner,
                                         absl::Time next_refresh, absl::Time now, absl::Time next,
                                         const std::string& error) {
  return database_.RunInTransaction("FinishRefresh", [&](db::Transaction& tx) -> absl::Status {
    const pqxx::result updated = tx.exec_params(
        "UPDATE manufacturers SET lease_owner = NULL, lease_until = NULL, refresh_time = $4, "
        "refresh_error = $6, refresh_state = CASE WHEN next_refresh = $7 THEN $3::int ELSE $8::int END, "
        "next_refresh = CASE WHEN next_refresh = $7 THEN $5 ELSE next_refresh END "
        "WHERE id = $1 AND lease_owner = $2",
        std::string(id), std::string(owner),
        static_cast<int>(error.empty() ? domain::RefreshState::kSucceeded : domain::RefreshState::kFailed),
        db::Timestamp(now), db::Timestamp(next), error, db::Timestamp(next_refresh),
        static_cast<int>(domain::RefreshState::kRunning));
    return updated.affected_rows() == 1 ? absl::OkStatus() : LeaseLost(id);
  });
}

absl::Status LiaisonStore::SetProposed(absl::string_view id, absl::string_view sha256) {
  return database_.RunInTransaction("SetProposed", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params("UPDATE manufacturers SET proposed_sha256 = $2 WHERE id = $1", std::string(id),
                   std::string(sha256));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> LiaisonStore::CreateRelease(const Mutation& mutation, const Release& release,
                                                        Encode<Release> encode) {
  return database_.RunInTransaction("CreateRelease", [&](db::Transaction& tx) {
    return db::Idempotently(tx, mutation.principal, mutation.method, mutation.request_id,
                            mutation.request_bytes, [&]() -> absl::StatusOr<std::string> {
                              ASSIGN_OR_RETURN(const std::vector<domain::Offer> offers,
                                               LockOffers(tx, release.manufacturer, release.offer.component));
                              if (SelectRelease(tx, release.manufacturer, release.offer.release_id).ok()) {
                                return Error(absl::StatusCode::kAlreadyExists, "RELEASE_EXISTS",
                                             absl::StrCat("release ", release.offer.release_id,
                                                          " is there already: a release is a statement "
                                                          "that stays; announce a new one"));
                              }
                              RETURN_IF_ERROR(domain::CheckCounterRises(offers, release.offer));
                              InsertRelease(tx, release);
                              return encode(release);
                            });
  });
}

absl::StatusOr<Release> LiaisonStore::TakeOffer(const Release& release) {
  return database_.RunInTransaction("TakeOffer", [&](db::Transaction& tx) -> absl::StatusOr<Release> {
    ASSIGN_OR_RETURN(const std::vector<domain::Offer> offers,
                     LockOffers(tx, release.manufacturer, release.offer.component));
    absl::StatusOr<Release> known = SelectRelease(tx, release.manufacturer, release.offer.release_id);
    if (absl::IsNotFound(known.status())) {
      RETURN_IF_ERROR(domain::CheckCounterRises(offers, release.offer));
      InsertRelease(tx, release);
      return release;
    }
    RETURN_IF_ERROR(known.status());
    if (known->info != release.info) {
      return Error(absl::StatusCode::kFailedPrecondition, "RELEASE_CHANGED",
                   absl::StrCat("release ", release.offer.release_id,
                                " is not what it was: offer a new release instead"));
    }
    if (known->state == domain::ReleaseState::kWithdrawn) {
      tx.exec_params("UPDATE releases SET state = $3 WHERE manufacturer = $1 AND id = $2",
                     release.manufacturer, release.offer.release_id, static_cast<int>(release.state));
      known->state = release.state;
    }
    return known;
  });
}

absl::Status LiaisonStore::SetReleaseState(absl::string_view manufacturer, absl::string_view id,
                                           domain::ReleaseState state) {
  return database_.RunInTransaction("SetReleaseState", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params("UPDATE releases SET state = $3 WHERE manufacturer = $1 AND id = $2",
                   std::string(manufacturer), std::string(id), static_cast<int>(state));
    return absl::OkStatus();
  });
}

absl::Status LiaisonStore::WithdrawOthers(absl::string_view manufacturer,
                                          const std::vector<std::string>& offered_ids) {
  return database_.RunInTransaction("WithdrawOthers", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(
        "UPDATE releases SET state = $3 WHERE manufacturer = $1 AND state <> $3 AND NOT id = ANY($2::text[])",
        std::string(manufacturer), db::TextArray(offered_ids),
        static_cast<int>(domain::ReleaseState::kWithdrawn));
    return absl::OkStatus();
  });
}

absl::StatusOr<Release> LiaisonStore::GetRelease(absl::string_view manufacturer, absl::string_view id) {
  return database_.Read("GetRelease",
                        [&](db::Reader& reader) { return SelectRelease(reader, manufacturer, id); });
}

absl::StatusOr<std::vector<Release>> LiaisonStore::ListReleases(absl::string_view manufacturer,
                                                                const Key& after, int limit) {
  return database_.Read("ListReleases", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Release>> {
    return ToAll(
        reader.exec_params(absl::StrCat("SELECT ", kReleaseColumns,
                                        " FROM releases WHERE ($1 = '' OR manufacturer = $1) AND "
                                        "(manufacturer, id) > ($2, $3) ORDER BY manufacturer, id LIMIT $4"),
                           std::string(manufacturer), after.first, after.second, limit),
        &ToRelease);
  });
}

absl::StatusOr<std::vector<Release>> LiaisonStore::FindOffers(absl::string_view manufacturer,
                                                              absl::string_view model) {
  return database_.Read("FindOffers", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Release>> {
    return ToAll(
        db::ExecPrepared(
            reader, "liaison.find_offers",
            absl::StrCat("SELECT ", kReleaseColumns,
                         " FROM releases WHERE manufacturer = $1 AND $2 = ANY(models) AND state = $3"),
            std::string(manufacturer), std::string(model),
            static_cast<int>(domain::ReleaseState::kAvailable)),
        &ToRelease);
  });
}

absl::StatusOr<std::string> LiaisonStore::CreateNotice(const Mutation& mutation, const Notice& notice,
                                                       Encode<Notice> encode) {
  return database_.RunInTransaction("CreateNotice", [&](db::Transaction& tx) {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          RETURN_IF_ERROR(SelectManufacturer(tx, notice.manufacturer).status());
          tx.exec_params(
              "INSERT INTO notices (manufacturer, id, kind, models, body, state, create_time, next_attempt) "
              "VALUES ($1, $2, $3, $4::text[], $5, $6, $7, $7)",
              notice.manufacturer, notice.id, static_cast<int>(notice.kind), db::TextArray(notice.models),
              notice.text, static_cast<int>(notice.state), db::Timestamp(notice.create_time));
          return encode(notice);
        });
  });
}

absl::StatusOr<std::vector<Notice>> LiaisonStore::ListNotices(absl::string_view manufacturer,
                                                              const Key& after, int limit) {
  return database_.Read("ListNotices", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Notice>> {
    return ToAll(reader.exec_params(absl::StrCat("SELECT ", kNoticeColumns,
                                                 " FROM notices n WHERE ($1 = '' OR n.manufacturer = $1) AND "
                                                 "($3 = '' OR (n.id, n.manufacturer) < ($3, $2)) "
                                                 "ORDER BY n.id DESC, n.manufacturer DESC LIMIT $4"),
                                    std::string(manufacturer), after.first, after.second, limit),
                 &ToNotice);
  });
}

absl::Status LiaisonStore::MarkDelivered(absl::string_view manufacturer,
                                         const std::vector<std::string>& ids) {
  if (ids.empty()) return absl::OkStatus();
  return database_.RunInTransaction("MarkDelivered", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params("UPDATE notices SET state = $3 WHERE manufacturer = $1 AND id = ANY($2::text[])",
                   std::string(manufacturer), db::TextArray(ids),
                   static_cast<int>(domain::NoticeState::kDelivered));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<LiaisonStore::Delivery>> LiaisonStore::ClaimDeliveries(absl::Time now,
                                                                                  absl::Time retry,
                                                                                  int limit) {
  return database_.RunInTransaction(
      "ClaimDeliveries", [&](db::Transaction& tx) -> absl::StatusOr<std::vector<Delivery>> {
        const pqxx::result rows = tx.exec_params(
            absl::StrCat(
                "UPDATE notices n SET next_attempt = $2 FROM manufacturers m WHERE m.id = n.manufacturer AND "
                "(n.manufacturer, n.id) IN (SELECT p.manufacturer, p.id FROM notices p "
                "JOIN manufacturers q ON q.id = p.manufacturer WHERE p.state = $3 AND p.next_attempt <= $1 "
                "AND "
                "q.channel = $4 ORDER BY p.next_attempt LIMIT $5 FOR UPDATE OF p SKIP LOCKED) "
                "RETURNING m.backend_address, ",
                kNoticeColumns),
            db::Timestamp(now), db::Timestamp(retry), static_cast<int>(domain::NoticeState::kPending),
            static_cast<int>(domain::Channel::kBackend), limit);
        std::vector<Delivery> deliveries;
        for (const pqxx::row& row : rows)
          deliveries.push_back({ToNotice(row), row["backend_address"].as<std::string>()});
        return deliveries;
      });
}

}  // namespace countersign::liaison
