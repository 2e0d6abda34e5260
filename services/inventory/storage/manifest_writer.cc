#include "services/inventory/storage/manifest_writer.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

// In the order of the key, so that two replicas never wait for each other.
constexpr char kLockGateways[] = R"sql(
  SELECT gateway_id, nonce, nonce_expires_at, last_manifest_counter FROM gateways
  WHERE gateway_id = ANY($1::text[]) ORDER BY gateway_id FOR NO KEY UPDATE)sql";

constexpr char kSelectStatuses[] = R"sql(
  SELECT gateway_id, ecu_serial, state, state_reason, image_path, image_length, image_sha256, image_version,
         image_release_counter, software_versions, report_counter, reported_at, attacks_detected, refused_reports
  FROM unnest($1::text[], $2::text[]) AS r (gateway_id, ecu_serial) JOIN components USING (gateway_id, ecu_serial))sql";

constexpr char kUpdateGateways[] = R"sql(
  UPDATE gateways g SET nonce = NULL, nonce_expires_at = NULL, last_manifest_counter = n.counter, last_manifest_at = n.at
  FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS n (gateway_id, counter, at)
  WHERE g.gateway_id = n.gateway_id)sql";

// Most reports say what the last one said: they move the counter only.
constexpr char kTouchComponents[] = R"sql(
  UPDATE components c SET report_counter = n.report_counter, reported_at = n.reported_at,
                          refused_reports = n.refused_reports
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[])
    AS n (gateway_id, ecu_serial, report_counter, reported_at, refused_reports)
  WHERE c.gateway_id = n.gateway_id AND c.ecu_serial = n.ecu_serial)sql";

constexpr char kChangeComponents[] = R"sql(
  UPDATE components c SET report_counter = n.report_counter, reported_at = n.reported_at,
    refused_reports = n.refused_reports, state = n.state, state_reason = n.state_reason, image_path = n.image_path,
    image_length = n.image_length, image_sha256 = n.image_sha256, image_version = n.image_version,
    image_release_counter = n.image_release_counter, software_versions = n.software_versions,
    attacks_detected = n.attacks_detected
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::integer[], $7::text[],
              $8::text[], $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[])
    AS n (gateway_id, ecu_serial, report_counter, reported_at, refused_reports, state, state_reason, image_path,
          image_length, image_sha256, image_version, image_release_counter, software_versions, attacks_detected)
  WHERE c.gateway_id = n.gateway_id AND c.ecu_serial = n.ecu_serial)sql";

constexpr char kInsertHistory[] = R"sql(
  INSERT INTO component_history (gateway_id, ecu_serial, changed_at, manifest_counter, report_counter, state,
    state_reason, image_path, image_length, image_sha256, image_version, image_release_counter, software_versions,
    attacks_detected)
  SELECT c.gateway_id, c.ecu_serial, n.changed_at, n.manifest_counter, c.report_counter, c.state, c.state_reason,
    c.image_path, c.image_length, c.image_sha256, c.image_version, c.image_release_counter, c.software_versions,
    c.attacks_detected
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
    AS n (gateway_id, ecu_serial, changed_at, manifest_counter)
  JOIN components c USING (gateway_id, ecu_serial))sql";

constexpr char kInsertRefused[] = R"sql(
  INSERT INTO refused_reports (gateway_id, received_at, manifest_counter, ecu_serial, reason, message, report)
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[]))sql";

}  // namespace

// One run of a batch within a transaction. A transaction that is tried again gets a new one.
class ManifestWriter::Batch {
 public:
  Batch(db::Transaction& tx, const Options& options) : tx_(tx), options_(options) {}

  // Whether others have something to hear.
  absl::StatusOr<bool> Run(absl::Span<Item> items, absl::Span<absl::Status> outcomes) {
    JudgeManifests(items, outcomes);
    LoadStatuses();
    for (Item* item : accepted_) JudgeReports(*item);
    WriteGateways();
    WriteComponents();
    WriteRefused();
    return AppendChanges();
  }

 private:
  struct Known {
    domain::ComponentStatus status;
    const Item* by = nullptr;  // whose report touched it
    bool changed = false;
  };
  struct Refused {
    const Item* item;
    const domain::CheckedReport* report;
    domain::Refusal refusal;
  };

  void JudgeManifests(absl::Span<Item> items, absl::Span<absl::Status> outcomes) {
    std::vector<std::string> ids;
    for (const Item& item : items) ids.push_back(item.manifest.gateway_id);
    absl::flat_hash_map<std::string, domain::GatewayProgress> progress;
    for (const pqxx::row& row :
         db::ExecPrepared(tx_, "inventory_lock_gateways", kLockGateways, db::TextArray(ids))) {
      domain::GatewayProgress& gateway = progress[db::TextOf(row[0])];
      gateway.nonce = row[1].is_null() ? "" : db::TextOf(row[1]);
      gateway.nonce_expire_time = db::NullableTimeOf(row[2]).value_or(absl::InfinitePast());
      gateway.last_manifest_counter = row[3].as<int64_t>();
    }
    for (size_t i = 0; i < items.size(); ++i) {
      Item& item = items[i];
      item.outcomes.clear();
      const auto gateway = progress.find(item.manifest.gateway_id);
      if (gateway == progress.end()) {
        outcomes[i] = Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
                            absl::StrCat("Gateway \"", item.manifest.gateway_id, "\" is not provisioned."));
        continue;
      }
      outcomes[i] = domain::JudgeManifest(item.manifest, gateway->second, item.received);
      if (!outcomes[i].ok()) continue;
      // The same gateway may come again in this batch: its challenge is spent now.
      gateway->second.nonce.clear();
      gateway->second.last_manifest_counter = item.manifest.counter;
      accepted_.push_back(&item);
    }
  }

  void LoadStatuses() {
    std::vector<std::string> gateways;
    std::vector<std::string> serials;
    for (const Item* item : accepted_) {
      for (const domain::CheckedReport& report : item->manifest.reports) {
        if (!known_.emplace(Key(*item, report), Known{}).second) continue;
        gateways.push_back(item->manifest.gateway_id);
        serials.push_back(report.ecu_serial);
      }
    }
    known_.clear();
    if (serials.empty()) return;
    for (const pqxx::row& row : db::ExecPrepared(tx_, "inventory_statuses", kSelectStatuses,
                                                 db::TextArray(gateways), db::TextArray(serials))) {
      domain::ComponentStatus& status = known_[{db::TextOf(row[0]), db::TextOf(row[1])}].status;
      status.state = static_cast<domain::State>(row[2].as<int>());
      status.reason = db::TextOf(row[3]);
      if (!row[4].is_null()) {
        status.installed =
            domain::InstalledImage{db::TextOf(row[4]), row[5].as<int64_t>(), db::TextOf(row[6]),
                                   db::TextOf(row[7]), row[8].as<int64_t>()};
      }
      status.software_versions = DecodeVersions(db::TextOf(row[9]));
      status.report_counter = row[10].as<int64_t>();
      status.report_time = db::NullableTimeOf(row[11]);
      status.attacks_detected = db::TextOf(row[12]);
      status.refused_reports = row[13].as<int64_t>();
    }
  }

  void JudgeReports(Item& item) {
    for (const domain::CheckedReport& report : item.manifest.reports) {
      const auto found = known_.find(Key(item, report));
      Known* known = found == known_.end() ? nullptr : &found->second;
      domain::Verdict verdict = domain::JudgeReport(report, item.manifest.nonce, item.received,
                                                    known == nullptr ? nullptr : &known->status);
      if (known != nullptr) {
        known->by = &item;
        known->changed |= verdict.changed;
      }
      item.outcomes.push_back({report.ecu_serial, verdict.refusal,
                               known == nullptr ? std::nullopt : std::optional(known->status.state)});
      if (verdict.refusal.has_value()) refused_.push_back({&item, &report, *std::move(verdict.refusal)});
    }
  }

  void WriteGateways() {
    std::vector<std::string> gateways;
    std::vector<int64_t> counters;
    std::vector<absl::Time> times;
    for (const Item* item : accepted_) {
      gateways.push_back(item->manifest.gateway_id);
      counters.push_back(item->manifest.counter);
      times.push_back(item->received);
    }
    if (gateways.empty()) return;
    db::ExecPrepared(tx_, "inventory_update_gateways", kUpdateGateways, db::TextArray(gateways),
                     db::BigintArray(counters), db::TimestampArray(times));
  }

  void WriteComponents() {
    Columns touched;
    Columns changed;
    for (const auto& [key, known] : known_) {
      if (known.by != nullptr) (known.changed ? changed : touched).Add(key, known);
    }
    if (!touched.gateways.empty()) {
      db::ExecPrepared(tx_, "inventory_touch_components", kTouchComponents, db::TextArray(touched.gateways),
                       db::TextArray(touched.serials), db::BigintArray(touched.counters),
                       db::NullableTimestampArray(touched.report_times), db::BigintArray(touched.refused));
    }
    if (changed.gateways.empty()) return;
    db::ExecPrepared(tx_, "inventory_change_components", kChangeComponents, db::TextArray(changed.gateways),
                     db::TextArray(changed.serials), db::BigintArray(changed.counters),
                     db::NullableTimestampArray(changed.report_times), db::BigintArray(changed.refused),
                     db::IntegerArray(changed.states), db::TextArray(changed.reasons),
                     db::NullableTextArray(changed.paths), db::NullableBigintArray(changed.lengths),
                     db::NullableTextArray(changed.sha256s), db::NullableTextArray(changed.versions),
                     db::NullableBigintArray(changed.release_counters), db::TextArray(changed.software),
                     db::TextArray(changed.attacks));
    db::ExecPrepared(tx_, "inventory_insert_history", kInsertHistory, db::TextArray(changed.gateways),
                     db::TextArray(changed.serials), db::TimestampArray(changed.received),
                     db::BigintArray(changed.manifest_counters));
    changed_gateways_ = std::move(changed.gateways);
    changed_serials_ = std::move(changed.serials);
  }

  void WriteRefused() {
    if (refused_.empty()) return;
    std::vector<std::string> gateways, serials, reasons, messages, evidence;
    std::vector<absl::Time> times;
    std::vector<int64_t> counters;
    for (const Refused& refused : refused_) {
      gateways.push_back(refused.item->manifest.gateway_id);
      times.push_back(refused.item->received);
      counters.push_back(refused.item->manifest.counter);
      serials.push_back(refused.report->ecu_serial);
      reasons.push_back(refused.refusal.reason);
      messages.push_back(refused.refusal.message);
      evidence.push_back(refused.report->Evidence());
    }
    db::ExecPrepared(tx_, "inventory_insert_refused", kInsertRefused, db::TextArray(gateways),
                     db::TimestampArray(times), db::BigintArray(counters), db::TextArray(serials),
                     db::TextArray(reasons), db::TextArray(messages), db::BytesArray(evidence));
  }

  bool AppendChanges() {
    if (changed_serials_.empty()) return false;
    static const std::string& sql =
        *new std::string(absl::StrCat("SELECT ", kComponentColumns,
                                      " FROM unnest($1::text[], $2::text[]) AS n (gateway_id, ecu_serial) "
                                      "JOIN components c USING (gateway_id, "
                                      "ecu_serial) ORDER BY c.gateway_id, c.ecu_serial"));
    std::vector<feed::NewEvent> events;
    for (const pqxx::row& row :
         db::ExecPrepared(tx_, "inventory_changed_components", sql, db::TextArray(changed_gateways_),
                          db::TextArray(changed_serials_))) {
      const domain::Component component = ReadComponent(row);
      events.push_back({kComponentChanged, domain::ComponentName(component.gateway_id, component.ecu_serial),
                        options_.encode(component)});
    }
    feed::Append(tx_, events);
    return true;
  }

  struct Columns {
    std::vector<std::string> gateways, serials, reasons, software, attacks;
    std::vector<std::optional<std::string>> paths, sha256s, versions;
    std::vector<std::optional<int64_t>> lengths, release_counters;
    std::vector<int64_t> counters, refused, manifest_counters;
    std::vector<std::optional<absl::Time>> report_times;
    std::vector<absl::Time> received;
    std::vector<int32_t> states;

    void Add(const ComponentKey& key, const Known& known) {
      const domain::ComponentStatus& status = known.status;
      gateways.push_back(key.first);
      serials.push_back(key.second);
      counters.push_back(status.report_counter);
      report_times.push_back(status.report_time);
      refused.push_back(status.refused_reports);
      if (!known.changed) return;
      states.push_back(static_cast<int32_t>(status.state));
      reasons.push_back(status.reason);
      const auto& image = status.installed;
      paths.push_back(image ? std::optional(image->target_path) : std::nullopt);
      lengths.push_back(image ? std::optional(image->length_bytes) : std::nullopt);
      sha256s.push_back(image ? std::optional(image->sha256) : std::nullopt);
      versions.push_back(image ? std::optional(image->version) : std::nullopt);
      release_counters.push_back(image ? std::optional(image->release_counter) : std::nullopt);
      software.push_back(EncodeVersions(status.software_versions));
      attacks.push_back(status.attacks_detected);
      received.push_back(known.by->received);
      manifest_counters.push_back(known.by->manifest.counter);
    }
  };

  static ComponentKey Key(const Item& item, const domain::CheckedReport& report) {
    return {item.manifest.gateway_id, report.ecu_serial};
  }

  db::Transaction& tx_;
  const Options& options_;
  std::vector<Item*> accepted_;
  absl::flat_hash_map<ComponentKey, Known> known_;
  std::vector<Refused> refused_;
  std::vector<std::string> changed_gateways_;
  std::vector<std::string> changed_serials_;
};

ManifestWriter::ManifestWriter(db::Database& database, Options options)
    : database_(database), options_(std::move(options)) {
  for (int i = 0; i < options_.threads; ++i) {
    writers_.push_back(std::make_unique<db::CoalescingWriter<Item>>(
        db::CoalescingWriter<Item>::Options{.max_batch = options_.max_batch,
                                            .max_queued = options_.max_queued},
        [this](absl::Span<Item> items, absl::Span<absl::Status> outcomes) {
          return Flush(items, outcomes);
        }));
  }
}

ManifestWriter::~ManifestWriter() { Stop(); }

void ManifestWriter::Submit(domain::CheckedManifest manifest, absl::Time received, Done done) {
  db::CoalescingWriter<Item>& writer = *writers_[absl::HashOf(manifest.gateway_id) % writers_.size()];
  writer.Submit({std::move(manifest), received, {}},
                [done = std::move(done)](absl::Status status, Item& item) {
                  if (!status.ok()) return done(std::move(status));
                  done(std::move(item.outcomes));
                });
}

void ManifestWriter::Stop() {
  for (const auto& writer : writers_) writer->Stop();
}

absl::Status ManifestWriter::Flush(absl::Span<Item> items, absl::Span<absl::Status> outcomes) {
  ASSIGN_OR_RETURN(const bool changed,
                   database_.RunInTransaction("SubmitManifests", [&](db::Transaction& tx) {
                     return Batch(tx, options_).Run(items, outcomes);
                   }));
  if (changed) options_.on_change();
  return absl::OkStatus();
}

}  // namespace countersign::inventory
