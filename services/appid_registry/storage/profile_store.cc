#include "services/appid_registry/storage/profile_store.h"

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/status/errors.h"

namespace countersign::appid_registry {
namespace {

constexpr char kInsert[] = R"sql(
  INSERT INTO profiles (app_id, application_type, application_class, security_capability, authentication_type,
    root_of_trust_sha256, communications_class, data_model_name, ontology_mapping, privacy_category, protection_level,
    privacy_purpose, retention_days, shared, manufacturer, state, created_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
  ON CONFLICT DO NOTHING)sql";

constexpr char kFind[] = "SELECT * FROM profiles WHERE app_id = $1";
constexpr char kList[] = "SELECT * FROM profiles WHERE app_id > $1 ORDER BY app_id LIMIT $2";
constexpr char kListOfManufacturer[] =
    "SELECT * FROM profiles WHERE app_id > $1 AND manufacturer = $3 ORDER BY app_id LIMIT $2";

template <typename Enum>
Enum EnumOf(const pqxx::field& field) {
  return static_cast<Enum>(field.as<int>());
}

domain::Profile ReadProfile(const pqxx::row& row) {
  domain::Profile profile;
  profile.app_id = db::TextOf(row["app_id"]);
  profile.application_type = db::TextOf(row["application_type"]);
  profile.application_class = EnumOf<domain::ApplicationClass>(row["application_class"]);
  profile.security_capability = EnumOf<domain::SecurityCapability>(row["security_capability"]);
  profile.authentication_type = EnumOf<domain::AuthenticationType>(row["authentication_type"]);
  profile.root_of_trust_sha256 = db::TextOf(row["root_of_trust_sha256"]);
  profile.communications_class = EnumOf<domain::CommunicationsClass>(row["communications_class"]);
  profile.data_model = {db::TextOf(row["data_model_name"]), db::TextOf(row["ontology_mapping"])};
  profile.data_privacy.category = EnumOf<domain::PrivacyCategory>(row["privacy_category"]);
  profile.data_privacy.protection_level = row["protection_level"].as<int>();
  profile.data_privacy.purpose = db::TextOf(row["privacy_purpose"]);
  profile.data_privacy.retention_days = row["retention_days"].as<int>();
  profile.data_privacy.shared = row["shared"].as<bool>();
  profile.manufacturer = db::TextOf(row["manufacturer"]);
  profile.state = EnumOf<domain::State>(row["state"]);
  profile.create_time = db::TimeOf(row["created_at"]);
  return profile;
}

}  // namespace

absl::StatusOr<std::string> ProfileStore::Create(
    const Mutation& mutation, const domain::Profile& profile,
    absl::FunctionRef<std::string(const domain::Profile&)> encode) {
  return database_.RunInTransaction("CreateProfile", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          const domain::DataPrivacy& privacy = profile.data_privacy;
          const pqxx::result inserted = tx.exec_params(
              kInsert, profile.app_id, profile.application_type, static_cast<int>(profile.application_class),
              static_cast<int>(profile.security_capability), static_cast<int>(profile.authentication_type),
              profile.root_of_trust_sha256, static_cast<int>(profile.communications_class),
              profile.data_model.name, profile.data_model.ontology_mapping,
              static_cast<int>(privacy.category), privacy.protection_level, privacy.purpose,
              privacy.retention_days, privacy.shared, profile.manufacturer, static_cast<int>(profile.state),
              db::Timestamp(profile.create_time));
          if (inserted.affected_rows() == 0) {
            return Error(absl::StatusCode::kAlreadyExists, "APP_ID_TAKEN",
                         absl::StrCat("App-ID \"", profile.app_id,
                                      "\" is registered already: an App-ID is given once."));
          }
          return encode(profile);
        });
  });
}

absl::StatusOr<std::optional<domain::Profile>> ProfileStore::Find(absl::string_view app_id) {
  return database_.Read(
      "FindProfile", [&](db::Reader& reader) -> absl::StatusOr<std::optional<domain::Profile>> {
        const pqxx::result rows = db::ExecPrepared(reader, "appid_find_profile", kFind, std::string(app_id));
        if (rows.empty()) return std::nullopt;
        return ReadProfile(rows[0]);
      });
}

absl::StatusOr<std::vector<domain::Profile>> ProfileStore::List(
    const std::optional<std::string>& manufacturer, absl::string_view after, int limit) {
  return database_.Read(
      "ListProfiles", [&](db::Reader& reader) -> absl::StatusOr<std::vector<domain::Profile>> {
        const pqxx::result rows =
            manufacturer.has_value()
                ? reader.exec_params(kListOfManufacturer, std::string(after), limit, *manufacturer)
                : reader.exec_params(kList, std::string(after), limit);
        std::vector<domain::Profile> profiles;
        for (const pqxx::row& row : rows) profiles.push_back(ReadProfile(row));
        return profiles;
      });
}

}  // namespace countersign::appid_registry
