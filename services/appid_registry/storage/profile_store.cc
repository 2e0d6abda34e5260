#include "services/appid_registry/storage/profile_store.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/appid_registry/domain/registrant.h"

namespace countersign::appid_registry {
namespace {

using domain::EventKind;
using domain::Registration;

// Gives out the App-ID, or says whose it is.
constexpr char kTake[] = R"sql(
  WITH taken AS (
    INSERT INTO app_ids (folded, app_id, authority_id, registrar, issued_at) VALUES (lower($1), $1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING app_id, registrar)
  SELECT app_id, registrar, true AS fresh FROM taken
  UNION ALL SELECT app_id, registrar, false FROM app_ids WHERE folded = lower($1))sql";

constexpr char kInsert[] = R"sql(
  WITH profile AS (
    INSERT INTO profiles (app_id, application_type, application_class, manufacturer, authority_id, registrant,
      registrar, state, state_reason, version, revision, content, signed_terms, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 1, '', 1, 1, $8::jsonb, $9, $10, $10)
    ON CONFLICT DO NOTHING RETURNING app_id, content, signed_terms),
  version AS (
    INSERT INTO profile_versions (app_id, version, content, signed_terms, actor, created_at)
    SELECT app_id, 1, content, signed_terms, $11, $10 FROM profile),
  event AS (
    INSERT INTO profile_events (app_id, revision, kind, happened_at, actor, reason, version)
    SELECT app_id, 1, 1, $10, $11, '', 1 FROM profile)
  SELECT count(*) FROM profile)sql";

constexpr char kUpdate[] = R"sql(
  WITH profile AS (
    UPDATE profiles SET application_type = $2, application_class = $3, manufacturer = $4, registrant = $5,
      version = $6, revision = $7, content = $8::jsonb, signed_terms = $9, updated_at = $10
    WHERE app_id = $1 RETURNING app_id, content, signed_terms),
  version AS (
    INSERT INTO profile_versions (app_id, version, content, signed_terms, actor, created_at)
    SELECT app_id, $6, content, signed_terms, $11, $10 FROM profile)
  INSERT INTO profile_events (app_id, revision, kind, happened_at, actor, reason, version)
  SELECT app_id, $7, 2, $10, $11, '', $6 FROM profile)sql";

constexpr char kChangeState[] = R"sql(
  WITH profile AS (
    UPDATE profiles SET state = $2, state_reason = $3, revision = $4, updated_at = $5
    WHERE app_id = $1 RETURNING app_id, version)
  INSERT INTO profile_events (app_id, revision, kind, happened_at, actor, reason, version)
  SELECT app_id, $4, $6::smallint, $5, $7, $8, version FROM profile)sql";

constexpr char kFind[] = "SELECT * FROM profiles WHERE app_id = $1";
constexpr char kFindToChange[] = "SELECT * FROM profiles WHERE app_id = $1 FOR UPDATE";

constexpr char kFindVersion[] = R"sql(
  SELECT p.app_id, p.authority_id, p.registrar, p.state, p.state_reason, v.version, p.revision, v.content,
    v.signed_terms, p.created_at, v.created_at AS updated_at
  FROM profiles p JOIN profile_versions v USING (app_id) WHERE p.app_id = $1 AND v.version = $2)sql";

constexpr char kListVersions[] = R"sql(
  SELECT p.app_id, p.authority_id, p.registrar, p.state, p.state_reason, v.version, p.revision, v.content,
    v.signed_terms, p.created_at, v.created_at AS updated_at, v.actor
  FROM profiles p JOIN profile_versions v USING (app_id)
  WHERE p.app_id = $1 AND v.version < $2 ORDER BY v.version DESC LIMIT $3)sql";

constexpr char kListEvents[] =
    "SELECT * FROM profile_events WHERE app_id = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3";

// A condition on a parameter that is empty is dropped when the query is planned, since it is planned with its
// parameters each time: what is left finds its index.
constexpr char kList[] = R"sql(
  SELECT * FROM profiles
  WHERE app_id > $1 AND ($3 = '' OR (app_id >= $3 AND app_id < $4)) AND ($5 = '' OR authority_id = $5)
    AND ($6 = '' OR manufacturer = $6) AND ($7 = '' OR registrant = $7) AND ($8 = '' OR application_type = $8)
    AND ($9 = 0 OR application_class = $9) AND ($10 = 0 OR state = $10)
  ORDER BY app_id LIMIT $2)sql";

absl::Status NotRegistered(absl::string_view app_id) {
  return Error(absl::StatusCode::kNotFound, "APP_ID_NOT_REGISTERED",
               absl::StrCat("App-ID \"", app_id, "\" is not registered."));
}

absl::Status Taken(absl::string_view app_id, absl::string_view by) {
  return Error(absl::StatusCode::kAlreadyExists, "APP_ID_TAKEN",
               app_id == by
                   ? absl::StrCat("App-ID \"", app_id, "\" is taken already: an App-ID is given once.")
                   : absl::StrCat("App-ID \"", app_id, "\" differs from \"", by,
                                  "\", which is taken, in letter case only."));
}

absl::Status EtagMismatch() {
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               "The profile has changed since it was read: read it again.");
}

absl::StatusOr<Registration> ReadRegistration(const pqxx::row& row) {
  Registration registration;
  ASSIGN_OR_RETURN(registration.profile, domain::ParseProfileJson(db::TextOf(row["content"])));
  registration.profile.signed_terms = db::BytesOf(row["signed_terms"]);
  if (!registration.profile.signed_terms.empty()) {
    ASSIGN_OR_RETURN(registration.terms, domain::ReadTerms(registration.profile.signed_terms));
  }
  registration.authority_id = db::TextOf(row["authority_id"]);
  registration.registrar = db::TextOf(row["registrar"]);
  registration.state = static_cast<domain::State>(row["state"].as<int>());
  registration.state_reason = db::TextOf(row["state_reason"]);
  registration.version = row["version"].as<int>();
  registration.revision = row["revision"].as<int64_t>();
  registration.create_time = db::TimeOf(row["created_at"]);
  registration.update_time = db::TimeOf(row["updated_at"]);
  return registration;
}

absl::StatusOr<std::optional<Registration>> ReadOne(const pqxx::result& rows) {
  if (rows.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(Registration registration, ReadRegistration(rows[0]));
  return registration;
}

absl::StatusOr<Registration> FindToChange(db::Transaction& tx, const std::string& app_id) {
  ASSIGN_OR_RETURN(std::optional<Registration> found, ReadOne(tx.exec_params(kFindToChange, app_id)));
  if (!found.has_value()) return NotRegistered(app_id);
  return *std::move(found);
}

std::string RegistrantOf(const Registration& registration) {
  return registration.terms.has_value() ? registration.terms->registrant : "";
}

struct Holder {
  std::string app_id;
  std::string registrar;
  bool fresh;  // given out just now
};

Holder Take(db::Transaction& tx, const std::string& app_id, const std::string& authority_id,
            const std::string& registrar, absl::Time now) {
  const pqxx::result rows = tx.exec_params(kTake, app_id, authority_id, registrar, db::Timestamp(now));
  // Somebody else's that was committed while this statement waited for it, and which it cannot see yet.
  if (rows.empty()) return Take(tx, app_id, authority_id, registrar, now);
  return {db::TextOf(rows[0]["app_id"]), db::TextOf(rows[0]["registrar"]), rows[0]["fresh"].as<bool>()};
}

absl::Status Insert(db::Transaction& tx, const std::string& actor, const Registration& registration) {
  const domain::Profile& profile = registration.profile;
  const Holder holder =
      Take(tx, profile.app_id, registration.authority_id, registration.registrar, registration.create_time);
  if (holder.app_id != profile.app_id) return Taken(profile.app_id, holder.app_id);
  const pqxx::result inserted = tx.exec_params(
      kInsert, profile.app_id, profile.application_type, static_cast<int>(profile.application_class),
      profile.manufacturer, registration.authority_id, RegistrantOf(registration), registration.registrar,
      domain::ProfileJson(profile), db::Bytes(profile.signed_terms), db::Timestamp(registration.create_time),
      actor);
  if (inserted[0][0].as<int>() == 0) return Taken(profile.app_id, profile.app_id);
  if (holder.registrar != registration.registrar) {
    return Error(absl::StatusCode::kPermissionDenied, "APP_ID_OF_ANOTHER",
                 absl::StrCat("App-ID \"", profile.app_id, "\" was issued to another registrar."));
  }
  return absl::OkStatus();
}

// Makes `next`'s profile the next version of `stored`, and `next` all of what is stored then.
absl::Status Replace(db::Transaction& tx, const std::string& actor, const Registration& stored,
                     Registration& next, absl::Time now) {
  RETURN_IF_ERROR(domain::StateAfter(stored.state, EventKind::kUpdated).status());
  const domain::Profile profile = std::move(next.profile);
  const std::optional<onem2m::Terms> terms = std::move(next.terms);
  next = stored;
  next.profile = profile;
  next.terms = terms;
  next.version = stored.version + 1;
  next.revision = stored.revision + 1;
  next.update_time = now;
  tx.exec_params(kUpdate, profile.app_id, profile.application_type,
                 static_cast<int>(profile.application_class), profile.manufacturer, RegistrantOf(next),
                 next.version, next.revision, domain::ProfileJson(profile), db::Bytes(profile.signed_terms),
                 db::Timestamp(now), actor);
  return absl::OkStatus();
}

absl::StatusOr<ImportOutcome::Kind> ImportOne(db::Transaction& tx, const std::string& actor,
                                              const Registration& registration) {
  ASSIGN_OR_RETURN(const std::optional<Registration> stored,
                   ReadOne(tx.exec_params(kFindToChange, registration.profile.app_id)));
  if (!stored.has_value()) {
    RETURN_IF_ERROR(Insert(tx, actor, registration));
    return ImportOutcome::Kind::kCreated;
  }
  if (domain::ProfileDigest(stored->profile) == domain::ProfileDigest(registration.profile)) {
    return ImportOutcome::Kind::kUnchanged;
  }
  Registration next = registration;
  RETURN_IF_ERROR(Replace(tx, actor, *stored, next, registration.create_time));
  return ImportOutcome::Kind::kUpdated;
}

// The first text in byte order behind all that begin with `prefix`; "" if there is none.
std::string EndOfPrefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\x7f') prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

}  // namespace

absl::StatusOr<std::string> ProfileStore::Create(const Mutation& mutation, const Registration& registration,
                                                 Encode encode) {
  return database_.RunInTransaction("CreateProfile", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(tx, mutation.principal, mutation.method, mutation.request_id,
                            mutation.request_bytes, [&]() -> absl::StatusOr<std::string> {
                              RETURN_IF_ERROR(Insert(tx, mutation.principal, registration));
                              return encode(registration);
                            });
  });
}

absl::StatusOr<std::string> ProfileStore::Update(const Mutation& mutation, const Registration& registration,
                                                 Encode encode) {
  return database_.RunInTransaction("UpdateProfile", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          ASSIGN_OR_RETURN(const Registration stored, FindToChange(tx, registration.profile.app_id));
          if (stored.revision != registration.revision) return EtagMismatch();
          Registration next = registration;
          RETURN_IF_ERROR(Replace(tx, mutation.principal, stored, next, registration.update_time));
          return encode(next);
        });
  });
}

absl::StatusOr<std::string> ProfileStore::ChangeState(const Mutation& mutation, absl::string_view app_id,
                                                      EventKind kind, absl::string_view reason,
                                                      std::optional<int64_t> revision, absl::Time now,
                                                      Encode encode) {
  return database_.RunInTransaction("ChangeState", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, mutation.principal, mutation.method, mutation.request_id, mutation.request_bytes,
        [&]() -> absl::StatusOr<std::string> {
          ASSIGN_OR_RETURN(Registration registration, FindToChange(tx, std::string(app_id)));
          if (revision.has_value() && registration.revision != *revision) return EtagMismatch();
          ASSIGN_OR_RETURN(registration.state, domain::StateAfter(registration.state, kind));
          registration.state_reason =
              registration.state == domain::State::kRegistered ? "" : std::string(reason);
          ++registration.revision;
          registration.update_time = now;
          tx.exec_params(kChangeState, registration.profile.app_id, static_cast<int>(registration.state),
                         registration.state_reason, registration.revision, db::Timestamp(now),
                         static_cast<int>(kind), mutation.principal, std::string(reason));
          return encode(registration);
        });
  });
}

absl::StatusOr<std::string> ProfileStore::Issue(const Mutation& mutation, const IssuedAppId& issued,
                                                absl::string_view authority_id,
                                                absl::FunctionRef<std::string(const IssuedAppId&)> encode) {
  return database_.RunInTransaction("IssueAppId", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(tx, mutation.principal, mutation.method, mutation.request_id,
                            mutation.request_bytes, [&]() -> absl::StatusOr<std::string> {
                              const Holder holder = Take(tx, issued.app_id, std::string(authority_id),
                                                         issued.registrar, issued.issue_time);
                              if (!holder.fresh) return Taken(issued.app_id, holder.app_id);
                              return encode(issued);
                            });
  });
}

absl::StatusOr<std::vector<ImportOutcome>> ProfileStore::Import(absl::string_view actor,
                                                                absl::Span<const Registration> registrations,
                                                                bool dry_run) {
  std::vector<ImportOutcome> outcomes;
  const absl::Status done =
      database_.RunInTransaction("ImportProfiles", [&](db::Transaction& tx) -> absl::Status {
        outcomes.clear();
        for (const Registration& registration : registrations) {
          // A refusal must leave nothing of its own behind, such as an App-ID that was taken for it.
          pqxx::subtransaction part(tx, "profile");
          const absl::StatusOr<ImportOutcome::Kind> kind = ImportOne(part, std::string(actor), registration);
          if (kind.ok()) {
            part.commit();
            outcomes.push_back({*kind, absl::OkStatus()});
          } else if (absl::IsInternal(kind.status())) {
            return kind.status();
          } else {
            part.abort();
            outcomes.push_back({ImportOutcome::Kind::kRefused, kind.status()});
          }
        }
        // What rolls it back.
        return dry_run ? absl::CancelledError() : absl::OkStatus();
      });
  if (!done.ok() && !(dry_run && absl::IsCancelled(done))) return done;
  return outcomes;
}

absl::StatusOr<std::optional<Registration>> ProfileStore::Find(absl::string_view app_id) {
  return database_.Read("FindProfile", [&](db::Reader& reader) {
    return ReadOne(db::ExecPrepared(reader, "appid_find_profile", kFind, std::string(app_id)));
  });
}

absl::StatusOr<std::optional<Registration>> ProfileStore::FindVersion(absl::string_view app_id, int version) {
  return database_.Read("FindProfileVersion", [&](db::Reader& reader) {
    return ReadOne(reader.exec_params(kFindVersion, std::string(app_id), version));
  });
}

absl::StatusOr<std::vector<Registration>> ProfileStore::List(const ProfileFilter& filter,
                                                             absl::string_view after, int limit) {
  return database_.Read("ListProfiles", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Registration>> {
    const pqxx::result rows = reader.exec_params(
        kList, std::string(after), limit, filter.app_id_prefix, EndOfPrefix(filter.app_id_prefix),
        filter.authority_id, filter.manufacturer, filter.registrant, filter.application_type,
        static_cast<int>(filter.application_class),
        filter.state.has_value() ? static_cast<int>(*filter.state) : 0);
    std::vector<Registration> profiles;
    for (const pqxx::row& row : rows) {
      ASSIGN_OR_RETURN(Registration registration, ReadRegistration(row));
      profiles.push_back(std::move(registration));
    }
    return profiles;
  });
}

absl::StatusOr<std::vector<ProfileVersion>> ProfileStore::ListVersions(absl::string_view app_id, int before,
                                                                       int limit) {
  return database_.Read(
      "ListProfileVersions", [&](db::Reader& reader) -> absl::StatusOr<std::vector<ProfileVersion>> {
        const pqxx::result rows = reader.exec_params(kListVersions, std::string(app_id), before, limit);
        std::vector<ProfileVersion> versions;
        for (const pqxx::row& row : rows) {
          ASSIGN_OR_RETURN(Registration registration, ReadRegistration(row));
          const absl::Time time = registration.update_time;
          versions.push_back({std::move(registration), time, db::TextOf(row["actor"])});
        }
        return versions;
      });
}

absl::StatusOr<std::vector<domain::Event>> ProfileStore::ListEvents(absl::string_view app_id, int64_t before,
                                                                    int limit) {
  return database_.Read(
      "ListProfileEvents", [&](db::Reader& reader) -> absl::StatusOr<std::vector<domain::Event>> {
        const pqxx::result rows = reader.exec_params(kListEvents, std::string(app_id), before, limit);
        std::vector<domain::Event> events;
        for (const pqxx::row& row : rows) {
          events.push_back({static_cast<EventKind>(row["kind"].as<int>()), db::TimeOf(row["happened_at"]),
                            db::TextOf(row["actor"]), db::TextOf(row["reason"]), row["version"].as<int>(),
                            row["revision"].as<int64_t>()});
        }
        return events;
      });
}

}  // namespace countersign::appid_registry
