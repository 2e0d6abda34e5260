#include "services/inventory/storage/published_images.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/macros.h"
#include "services/inventory/domain/orders.h"

namespace countersign::inventory {
namespace {

// See the table's comment in the migration.
constexpr char kShare[] = "SELECT pg_advisory_xact_lock_shared(hashtext('published_images'))";
constexpr char kExclude[] = "SELECT pg_advisory_xact_lock(hashtext('published_images'))";

// One row for each image and published image that shares its digest, version or path; of those with none,
// one.
constexpr char kJudge[] = R"sql(
  SELECT n.i, c.factory_sha256, p.target_path, p.version, p.sha256, p.revoked
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    WITH ORDINALITY AS n (gateway_id, ecu_serial, sha256, version, path, i)
  JOIN components c USING (gateway_id, ecu_serial)
  LEFT JOIN published_images p ON p.manufacturer = c.manufacturer AND c.hardware_id = ANY(p.hardware_ids)
    AND (p.sha256 = n.sha256 OR p.version = n.version OR p.target_path = n.path)
  WHERE EXISTS (SELECT FROM published_images_complete))sql";

// Says nothing new, writes nothing.
constexpr char kUpsert[] = R"sql(
  INSERT INTO published_images AS p (target_path, manufacturer, version, sha256, hardware_ids, revoked)
  VALUES ($1, $2, $3, $4, $5::text[], $6)
  ON CONFLICT (target_path) DO UPDATE SET manufacturer = excluded.manufacturer, version = excluded.version,
    sha256 = excluded.sha256, hardware_ids = excluded.hardware_ids,
    revoked = (p.revoked AND p.sha256 = excluded.sha256) OR excluded.revoked
  WHERE (p.manufacturer, p.version, p.sha256, p.hardware_ids) IS DISTINCT FROM
        (excluded.manufacturer, excluded.version, excluded.sha256, excluded.hardware_ids)
     OR (excluded.revoked AND NOT p.revoked))sql";

constexpr char kAddCheck[] = R"sql(
  INSERT INTO image_checks (target_path, revoked)
  SELECT $1::text, $2::boolean WHERE EXISTS (SELECT FROM published_images_complete))sql";

constexpr char kNextCheck[] = R"sql(
  SELECT id, target_path, revoked, after_gateway, after_serial FROM image_checks
  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)sql";

constexpr char kNeverCompared[] = R"sql(
  SELECT gateway_id, ecu_serial FROM components
  WHERE image_verdict = 0 AND image_sha256 IS NOT NULL AND (gateway_id, ecu_serial) > ($1, $2)
  ORDER BY gateway_id, ecu_serial LIMIT $3)sql";
constexpr char kAfterPublication[] = R"sql(
  SELECT c.gateway_id, c.ecu_serial FROM published_images p
  JOIN components c ON c.manufacturer = p.manufacturer AND c.hardware_id = ANY(p.hardware_ids)
  WHERE p.target_path = $4 AND c.image_verdict NOT IN (1, 2)
    AND (c.image_sha256 = p.sha256 OR c.image_version = p.version OR c.image_path = p.target_path)
    AND (c.gateway_id, c.ecu_serial) > ($1, $2)
  ORDER BY c.gateway_id, c.ecu_serial LIMIT $3)sql";
constexpr char kAfterRevocation[] = R"sql(
  SELECT c.gateway_id, c.ecu_serial FROM published_images p
  JOIN components c ON c.manufacturer = p.manufacturer AND c.hardware_id = ANY(p.hardware_ids)
  WHERE p.target_path = $4 AND c.image_sha256 = p.sha256 AND (c.gateway_id, c.ecu_serial) > ($1, $2)
  ORDER BY c.gateway_id, c.ecu_serial LIMIT $3)sql";

constexpr char kUpdateVerdicts[] = R"sql(
  UPDATE components c SET image_verdict = n.verdict, state = n.state, state_reason = n.reason
  FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::text[])
    AS n (gateway_id, ecu_serial, verdict, state, reason)
  WHERE c.gateway_id = n.gateway_id AND c.ecu_serial = n.ecu_serial)sql";

constexpr char kToQuarantine[] = R"sql(
  SELECT gateway_id, ecu_serial FROM components c
  WHERE state = 4 AND released_sha256 IS DISTINCT FROM image_sha256
    AND EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS q (manufacturer, model)
                WHERE q.manufacturer IN ('', c.manufacturer) AND q.model IN ('', c.model))
  ORDER BY gateway_id, ecu_serial LIMIT $3)sql";

constexpr char kQuarantine[] = R"sql(
  UPDATE components c SET state = 6, state_reason = '', quarantine_ordered_at = $3, quarantine_ordered_by = $4,
    quarantine_reason = n.reason, quarantine_confirmed_at = NULL
  FROM unnest($1::text[], $2::text[], $5::text[]) AS n (gateway_id, ecu_serial, reason)
  WHERE c.gateway_id = n.gateway_id AND c.ecu_serial = n.ecu_serial)sql";

struct Keys {
  std::vector<std::string> gateways;
  std::vector<std::string> serials;
};

Keys KeysOf(const pqxx::result& rows) {
  Keys keys;
  for (const pqxx::row& row : rows) {
    keys.gateways.push_back(db::TextOf(row[0]));
    keys.serials.push_back(db::TextOf(row[1]));
  }
  return keys;
}

}  // namespace

std::vector<domain::ImageVerdict> JudgeImages(db::Transaction& tx, absl::Span<const ReportedImage> images) {
  std::vector<domain::ImageVerdict> verdicts(images.size(), domain::ImageVerdict::kNone);
  if (images.empty()) return verdicts;
  std::vector<std::string> gateways, serials, digests, versions, paths;
  for (const ReportedImage& image : images) {
    gateways.push_back(image.gateway_id);
    serials.push_back(image.ecu_serial);
    digests.push_back(image.image.sha256);
    versions.push_back(image.image.version);
    paths.push_back(image.image.target_path);
  }
  // In a statement of its own: what the next one sees is of after the lock.
  db::ExecPrepared(tx, "inventory_share_published", kShare);
  struct Found {
    bool compared = false;
    std::string factory_sha256;
    std::vector<domain::PublishedImage> published;
  };
  std::vector<Found> found(images.size());
  for (const pqxx::row& row :
       db::ExecPrepared(tx, "inventory_judge_images", kJudge, db::TextArray(gateways), db::TextArray(serials),
                        db::TextArray(digests), db::TextArray(versions), db::TextArray(paths))) {
    Found& of = found[row[0].as<size_t>() - 1];
    of.compared = true;
    of.factory_sha256 = db::TextOf(row[1]);
    if (row[2].is_null()) continue;
    of.published.push_back({db::TextOf(row[2]), db::TextOf(row[3]), db::TextOf(row[4]), row[5].as<bool>()});
  }
  for (size_t i = 0; i < images.size(); ++i) {
    if (!found[i].compared) continue;
    verdicts[i] = domain::JudgeImage(images[i].image, found[i].factory_sha256, found[i].published);
  }
  return verdicts;
}

absl::Status PublishedImages::Take(db::Transaction& tx, const Publication& publication) {
  tx.exec(kExclude);
  const pqxx::result upserted =
      tx.exec_params(kUpsert, publication.target_path, publication.manufacturer, publication.version,
                     publication.sha256, db::TextArray(publication.hardware_ids), publication.revoked);
  if (upserted.affected_rows() > 0) tx.exec_params(kAddCheck, publication.target_path, publication.revoked);
  return absl::OkStatus();
}

absl::Status PublishedImages::TakeAll(absl::Span<const Publication> publications) {
  return database_.RunInTransaction("TakePublications", [&](db::Transaction& tx) -> absl::Status {
    for (const Publication& publication : publications) RETURN_IF_ERROR(Take(tx, publication));
    return absl::OkStatus();
  });
}

absl::Status PublishedImages::SetComplete() {
  return database_.RunInTransaction("PublicationsComplete", [&](db::Transaction& tx) -> absl::Status {
    tx.exec(kExclude);
    if (tx.exec("INSERT INTO published_images_complete DEFAULT VALUES ON CONFLICT DO NOTHING")
            .affected_rows() > 0) {
      tx.exec("INSERT INTO image_checks DEFAULT VALUES");
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<bool> PublishedImages::CheckSome(absl::Time now, int limit) {
  bool changed = false;
  std::vector<std::string> modified;
  const auto more =
      database_.RunInTransaction("CheckImages", [&](db::Transaction& tx) -> absl::StatusOr<bool> {
        changed = false;
        modified.clear();
        const pqxx::result jobs = tx.exec(kNextCheck);
        if (jobs.empty()) return false;
        const pqxx::row job = jobs[0];
        const int64_t id = job["id"].as<int64_t>();
        const std::string after_gateway = db::TextOf(job["after_gateway"]);
        const std::string after_serial = db::TextOf(job["after_serial"]);
        const Keys keys =
            KeysOf(job["target_path"].is_null()
                       ? tx.exec_params(kNeverCompared, after_gateway, after_serial, limit)
                       : tx.exec_params(job["revoked"].as<bool>() ? kAfterRevocation : kAfterPublication,
                                        after_gateway, after_serial, limit, db::TextOf(job["target_path"])));
        LockGateways(tx, keys.gateways);
        std::vector<domain::Component> components = LoadComponents(tx, keys.gateways, keys.serials);
        std::vector<ReportedImage> images;
        for (const domain::Component& component : components) {
          images.push_back({component.gateway_id, component.ecu_serial,
                            component.status.installed.value_or(domain::InstalledImage())});
        }
        const std::vector<domain::ImageVerdict> verdicts = JudgeImages(tx, images);

        ChangedComponents changes;
        changes.cause = domain::ChangeCause::kPublication;
        std::vector<int32_t> numbers, states;
        std::vector<std::string> reasons;
        for (size_t i = 0; i < components.size(); ++i) {
          const domain::Component& component = components[i];
          domain::ComponentStatus status = component.status;
          if (verdicts[i] == domain::ImageVerdict::kNone || !status.installed.has_value()) continue;
          status.image_verdict = verdicts[i];
          const absl::string_view reason =
              domain::ModifiedReason(verdicts[i], component.factory_sha256, options_.unknown_is_modified);
          const bool settled = domain::SettleImage(reason, component.constrained, status);
          if (!settled && status.image_verdict == component.status.image_verdict) continue;
          if (settled && status.state == domain::State::kModified) modified.push_back(status.reason);
          changes.Add(component.gateway_id, component.ecu_serial, now);
          numbers.push_back(static_cast<int32_t>(status.image_verdict));
          states.push_back(static_cast<int32_t>(status.state));
          reasons.push_back(status.reason);
        }
        if (!changes.empty()) {
          tx.exec_params(kUpdateVerdicts, db::TextArray(changes.gateways), db::TextArray(changes.serials),
                         db::IntegerArray(numbers), db::IntegerArray(states), db::TextArray(reasons));
          RecordChanges(tx, changes, options_.encode);
          changed = true;
        }
        if (static_cast<int>(keys.serials.size()) < limit) {
          tx.exec_params("DELETE FROM image_checks WHERE id = $1", id);
        } else {
          tx.exec_params("UPDATE image_checks SET after_gateway = $2, after_serial = $3 WHERE id = $1", id,
                         keys.gateways.back(), keys.serials.back());
        }
        return true;
      });
  if (!more.ok()) return more;
  if (changed) options_.on_change();
  for (const std::string& reason : modified) options_.on_modified(reason);
  return more;
}

absl::StatusOr<int> PublishedImages::Quarantine(const domain::QuarantinePolicy& policy, absl::Time now,
                                                int limit) {
  if (policy.empty()) return 0;
  const auto ordered =
      database_.RunInTransaction("QuarantineModified", [&](db::Transaction& tx) -> absl::StatusOr<int> {
        const Keys keys = KeysOf(tx.exec_params(kToQuarantine, db::TextArray(policy.manufacturers()),
                                                db::TextArray(policy.models()), limit));
        if (keys.serials.empty()) return 0;
        LockGateways(tx, keys.gateways);
        ChangedComponents changes;
        changes.cause = domain::ChangeCause::kPolicy;
        changes.actor = domain::kByPolicy;
        std::vector<std::string> reasons;
        for (const domain::Component& component : LoadComponents(tx, keys.gateways, keys.serials)) {
          // What another one changed in the meantime is looked at in the next round.
          if (component.status.state != domain::State::kModified) continue;
          changes.Add(component.gateway_id, component.ecu_serial, now);
          reasons.push_back(component.status.reason);
        }
        tx.exec_params(kQuarantine, db::TextArray(changes.gateways), db::TextArray(changes.serials),
                       db::Timestamp(now), std::string(domain::kByPolicy), db::TextArray(reasons));
        RecordChanges(tx, changes, options_.encode);
        return static_cast<int>(reasons.size());
      });
  if (ordered.ok() && *ordered > 0) options_.on_change();
  return ordered;
}

absl::StatusOr<int64_t> PublishedImages::CountWaiting() {
  return database_.Read("CountImageChecks", [&](db::Reader& reader) -> absl::StatusOr<int64_t> {
    return reader.exec("SELECT count(*) FROM image_checks")[0][0].as<int64_t>();
  });
}

}  // namespace countersign::inventory
