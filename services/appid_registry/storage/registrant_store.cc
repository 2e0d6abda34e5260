#include "services/appid_registry/storage/registrant_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/status/errors.h"

namespace countersign::appid_registry {
namespace {

using domain::Registrant;

constexpr char kInsert[] = R"sql(
  INSERT INTO registrants (id, display_name, public_key_pem, registrar, revision, created_at)
  VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT DO NOTHING)sql";
constexpr char kUpdate[] =
    "UPDATE registrants SET display_name = $2, public_key_pem = $3, revision = $4 WHERE id = $1";
constexpr char kFind[] = "SELECT * FROM registrants WHERE id = $1";
constexpr char kFindToChange[] = "SELECT * FROM registrants WHERE id = $1 FOR UPDATE";
constexpr char kList[] = "SELECT * FROM registrants WHERE id > $1 ORDER BY id LIMIT $2";

Registrant Read(const pqxx::row& row) {
  return {.id = db::TextOf(row["id"]),
          .display_name = db::TextOf(row["display_name"]),
          .public_key_pem = db::TextOf(row["public_key_pem"]),
          .registrar = db::TextOf(row["registrar"]),
          .revision = row["revision"].as<int64_t>(),
          .create_time = db::TimeOf(row["created_at"])};
}

}  // namespace

absl::Status RegistrantUnknown(absl::string_view id) {
  return Error(absl::StatusCode::kNotFound, "REGISTRANT_UNKNOWN",
               absl::StrCat("There is no registrants/", id.substr(0, 64), "."));
}

absl::StatusOr<std::string> RegistrantStore::Create(const Mutation& mutation, const Registrant& registrant,
                                                    Encode encode) {
  return database_.RunInTransaction(
      "CreateRegistrant", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
        return db::Idempotently(
            tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
            [&]() -> absl::StatusOr<std::string> {
              const pqxx::result inserted =
                  tx.exec_params(kInsert, registrant.id, registrant.display_name, registrant.public_key_pem,
                                 registrant.registrar, db::Timestamp(registrant.create_time));
              if (inserted.affected_rows() == 0) {
                return Error(absl::StatusCode::kAlreadyExists, "REGISTRANT_TAKEN",
                             absl::StrCat("registrants/", registrant.id, " is there already."));
              }
              return encode(registrant);
            });
      });
}

absl::StatusOr<std::string> RegistrantStore::Update(const Mutation& mutation, const Registrant& registrant,
                                                    Encode encode) {
  return database_.RunInTransaction(
      "UpdateRegistrant", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
        return db::Idempotently(
            tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
            [&]() -> absl::StatusOr<std::string> {
              const pqxx::result rows = tx.exec_params(kFindToChange, registrant.id);
              if (rows.empty()) return RegistrantUnknown(registrant.id);
              Registrant stored = Read(rows[0]);
              if (stored.registrar != registrant.registrar) {
                return Error(absl::StatusCode::kPermissionDenied, "REGISTRANT_OF_ANOTHER",
                             absl::StrCat("registrants/", registrant.id, " was registered by registrar/",
                                          stored.registrar, ", whose it is to change."));
              }
              if (stored.revision != registrant.revision) {
                return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                             "The registrant has changed since it was read: read it again.");
              }
              stored.display_name = registrant.display_name;
              stored.public_key_pem = registrant.public_key_pem;
              ++stored.revision;
              tx.exec_params(kUpdate, stored.id, stored.display_name, stored.public_key_pem, stored.revision);
              return encode(stored);
            });
      });
}

absl::StatusOr<std::optional<Registrant>> RegistrantStore::Find(absl::string_view id) {
  return database_.Read("FindRegistrant",
                        [&](db::Reader& reader) -> absl::StatusOr<std::optional<Registrant>> {
                          const pqxx::result rows = reader.exec_params(kFind, std::string(id));
                          if (rows.empty()) return std::nullopt;
                          return Read(rows[0]);
                        });
}

absl::StatusOr<std::vector<Registrant>> RegistrantStore::List(absl::string_view after, int limit) {
  return database_.Read("ListRegistrants",
                        [&](db::Reader& reader) -> absl::StatusOr<std::vector<Registrant>> {
                          std::vector<Registrant> registrants;
                          for (const pqxx::row& row : reader.exec_params(kList, std::string(after), limit)) {
                            registrants.push_back(Read(row));
                          }
                          return registrants;
                        });
}

}  // namespace countersign::appid_registry
