#include "services/inventory/storage/manifest_writer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/domain/image_verdict.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/published_images.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

// domain::JudgeManifest, and the lock on the gateways' rows, in one. The arrays come in the order of the key,
// so that replicas lock in the same order.
constexpr char kTakeManifests[] = R"sql(
  UPDATE gateways g SET answered_nonce = n.nonce, last_manifest_counter = n.counter, last_manifest_at = n.at
  FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS n (i, gateway_id, nonce, counter, at)
  WHERE g.gateway_id = n.gateway_id AND g.answered_nonce < n.nonce COLLATE "C" AND g.last_manifest_counter < n.counter
  RETURNING n.i)sql";

constexpr char kSelectProgress[] = R"sql(
  SELECT gateway_id, answered_nonce, last_manifest_counter FROM gateways WHERE gateway_id = ANY($1::text[]))sql";

// Most reports say what the last one said, of a component that is as they say: they move the counter only,
// and nothing has to be read for it. Tells how many were such, and which if not all.
constexpr char kTouchUnchanged[] = R"sql(
  WITH touched AS (
    UPDATE components c SET report_counter = n.report_counter, reported_at = n.reported_at
    FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::integer[], $7::bytea[])
      AS n (i, gateway_id, ecu_serial, report_counter, reported_at, state, said)
    WHERE c.gateway_id = n.gateway_id AND c.ecu_serial = n.ecu_serial AND c.report_counter < n.report_counter
      AND c.state = n.state AND c.said = n.said
    RETURNING n.i)
  SELECT count(*), CASE WHEN count(*) < $8::bigint THEN string_agg(i::text, ',') END FROM touched)sql";

constexpr char kSelectStatuses[] = R"sql(
  SELECT gateway_id, ecu_serial, state, state_reason, image_path, image_length, image_sha256, image_version,
         image_release_counter, software_versions, report_counter, reported_at, attacks_detected, refused_reports,
         image_verdict, factory_sha256, approval_result, approval_override, stopped, first_reported_at,
         quarantine_ordered_at, quarantine_confirmed_at
  FROM unnest($1::text[], $2::text[]) AS r (gateway_id, ecu_serial) JOIN components USING (gateway_id, ecu_serial))sql";

constexpr char kSelectElsewhere[] = R"sql(
  SELECT ecu_serial FROM serials WHERE ecu_serial = ANY($1::text[]))sql";

// What has been looked at and found unchanged.
constexpr char kTouchComponents[] = R"sql(
  UPDATE components c SET report_counter = n.report_counter, reported_at = n.reported_at,
                          refused_reports = n.refused_reports, said = n.said
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bytea[])
    AS n (gateway_id, ecu_serial, report_counter, reported_at, refused_reports, said)
  WHERE c.gateway_id = n.gateway_id AND c.ecu_serial = n.ecu_serial)sql";

constexpr char kChangeComponents[] = R"sql(
  UPDATE components c SET report_counter = n.report_counter, reported_at = n.reported_at,
    refused_reports = n.refused_reports, state = n.state, state_reason = n.state_reason, image_path = n.image_path,
    image_length = n.image_length, image_sha256 = n.image_sha256, image_version = n.image_version,
    image_release_counter = n.image_release_counter, software_versions = n.software_versions,
    attacks_detected = n.attacks_detected, image_verdict = n.image_verdict, approval_result = n.approval_result,
    approval_override = n.approval_override, stopped = n.stopped, first_reported_at = n.first_reported_at,
    quarantine_confirmed_at = n.quarantine_confirmed_at, said = n.said
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::integer[], $7::text[],
              $8::text[], $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[],
              $15::integer[], $16::text[], $17::boolean[], $18::boolean[], $19::timestamptz[], $20::timestamptz[],
              $21::bytea[])
    AS n (gateway_id, ecu_serial, report_counter, reported_at, refused_reports, state, state_reason, image_path,
          image_length, image_sha256, image_version, image_release_counter, software_versions, attacks_detected,
          image_verdict, approval_result, approval_override, stopped, first_reported_at, quarantine_confirmed_at, said)
  WHERE c.gateway_id = n.gateway_id AND c.ecu_serial = n.ecu_serial)sql";

constexpr char kInsertRefused[] = R"sql(
  INSERT INTO refused_reports (gateway_id, received_at, manifest_counter, ecu_serial, reason, message, report)
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[]))sql";

std::string MessageOf(const trust::Incident& incident) {
  std::string message = incident.detail;
  if (!incident.device_id.empty()) absl::StrAppend(&message, " (device ", incident.device_id, ")");
  if (incident.count > 1) absl::StrAppend(&message, " (", incident.count, " times)");
  return message;
}

}  // namespace

// One run of a batch within a transaction, with no gateway in it twice. A transaction that is tried again
// gets a new one.
class ManifestWriter::Batch {
 public:
  Batch(db::Transaction& tx, const Options& options) : tx_(tx), options_(options) {}

  struct Result {
    bool changed = false;               // whether others have something to hear
    std::vector<std::string> modified;  // why components became MODIFIED
    int incidents = 0;                  // that gateways noticed

    void Add(const Result& other) {
      changed |= other.changed;
      modified.insert(modified.end(), other.modified.begin(), other.modified.end());
      incidents += other.incidents;
    }
  };

  // `items` are in the order of their gateways.
  Result Run(absl::Span<Entry> items) {
    TakeManifests(items);
    TouchUnchanged();
    LoadStatuses();
    for (Item* item : accepted_) JudgeReports(*item);
    if (options_.compare_images) JudgeImagesOfReports();
    for (Item* item : accepted_) TellStates(*item);
    WriteComponents();
    WriteRefused();
    return std::move(result_);
  }

 private:
  struct Known {
    domain::ComponentStatus status;
    domain::State state_before = domain::State::kUnverified;
    std::string factory_sha256;
    const Item* by = nullptr;  // whose report touched it
    bool changed = false;
    bool accepted = false;
    bool proxied = false;
    bool image_changed = false;
    std::string said;  // '' unless a report was accepted
  };
  struct Refused {
    const Item* item;
    const domain::CheckedReport* report;
    domain::Refusal refusal;
  };

  void TakeManifests(absl::Span<Entry> items) {
    std::vector<int32_t> indexes;
    std::vector<std::string> gateways, nonces;
    std::vector<int64_t> counters;
    std::vector<absl::Time> times;
    for (const Entry& entry : items) {
      entry.item->outcomes.clear();
      indexes.push_back(static_cast<int32_t>(indexes.size()));
      gateways.push_back(entry.item->manifest.gateway_id);
      nonces.push_back(entry.item->manifest.nonce);
      counters.push_back(entry.item->manifest.counter);
      times.push_back(entry.item->received);
    }
    std::vector<bool> taken(items.size(), false);
    for (const pqxx::row& row :
         db::ExecPrepared(tx_, "inventory_take_manifests", kTakeManifests, db::IntegerArray(indexes),
                          db::TextArray(gateways), db::TextArray(nonces), db::BigintArray(counters),
                          db::TimestampArray(times))) {
      taken[row[0].as<size_t>()] = true;
    }
    std::vector<std::string> refused;
    for (size_t i = 0; i < items.size(); ++i) {
      if (taken[i]) {
        accepted_.push_back(items[i].item);
      } else {
        refused.push_back(gateways[i]);
      }
    }
    if (refused.empty()) return;
    absl::flat_hash_map<std::string, domain::GatewayProgress> progress;
    for (const pqxx::row& row :
         db::ExecPrepared(tx_, "inventory_select_progress", kSelectProgress, db::TextArray(refused))) {
      progress[db::TextOf(row[0])] = {db::TextOf(row[1]), row[2].as<int64_t>()};
    }
    for (size_t i = 0; i < items.size(); ++i) {
      if (taken[i]) continue;
      const auto gateway = progress.find(gateways[i]);
      *items[i].outcome = gateway == progress.end()
                              ? Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
                                      absl::StrCat("Gateway \"", gateways[i], "\" is not provisioned."))
                              : domain::JudgeManifest(items[i].item->manifest, gateway->second);
      // It was made known in between.
      if (items[i].outcome->ok()) *items[i].outcome = absl::AbortedError("Send the manifest again.");
    }
  }

  // What stands for a report that was accepted, under the rules by which it was.
  std::string Said(const trust::VersionReport& report) const {
    const int rules = (options_.compare_images ? 1 : 0) + (options_.unknown_is_modified ? 2 : 0);
    return absl::StrCat(domain::DigestOfWhatItSays(report), rules);
  }

  void TouchUnchanged() {
    std::vector<std::pair<Item*, size_t>> reports;
    std::vector<int32_t> indexes, states;
    std::vector<std::string> gateways, serials, said;
    std::vector<int64_t> counters;
    std::vector<absl::Time> times;
    for (Item* item : accepted_) {
      item->outcomes.resize(item->manifest.reports.size());
      for (size_t i = 0; i < item->manifest.reports.size(); ++i) {
        const domain::CheckedReport& checked = item->manifest.reports[i];
        if (checked.refusal.has_value() || checked.report->nonce != item->manifest.nonce) continue;
        indexes.push_back(static_cast<int32_t>(indexes.size()));
        reports.push_back({item, i});
        gateways.push_back(item->manifest.gateway_id);
        serials.push_back(checked.ecu_serial);
        counters.push_back(checked.report->report_counter);
        times.push_back(item->received);
        states.push_back(static_cast<int32_t>(StateOf(*checked.report)));
        said.push_back(Said(*checked.report));
      }
    }
    if (reports.empty()) return;
    const pqxx::result result = db::ExecPrepared(
        tx_, "inventory_touch_unchanged", kTouchUnchanged, db::IntegerArray(indexes), db::TextArray(gateways),
        db::TextArray(serials), db::BigintArray(counters), db::TimestampArray(times),
        db::IntegerArray(states), db::BytesArray(said), static_cast<int64_t>(reports.size()));
    const auto touch = [&](size_t index) {
      const auto [item, i] = reports[index];
      const domain::CheckedReport& checked = item->manifest.reports[i];
      item->outcomes[i] = {checked.ecu_serial, std::nullopt, StateOf(*checked.report)};
      touched_.insert(&checked);
    };
    if (result[0][0].as<size_t>() == reports.size()) {
      for (size_t i = 0; i < reports.size(); ++i) touch(i);
    } else if (!result[0][1].is_null()) {
      for (const absl::string_view index : absl::StrSplit(result[0][1].c_str(), ',')) {
        size_t value = 0;
        if (absl::SimpleAtoi(index, &value)) touch(value);
      }
    }
  }

  static domain::State StateOf(const trust::VersionReport& report) {
    return report.proxied ? domain::State::kProxied : domain::State::kVerified;
  }

  void LoadStatuses() {
    std::vector<std::string> gateways;
    std::vector<std::string> serials;
    for (const Item* item : accepted_) {
      for (const domain::CheckedReport& report : item->manifest.reports) {
        if (touched_.contains(&report) || !known_.emplace(Key(*item, report), Known{}).second) continue;
        gateways.push_back(item->manifest.gateway_id);
        serials.push_back(report.ecu_serial);
      }
    }
    known_.clear();
    if (serials.empty()) return;
    for (const pqxx::row& row : db::ExecPrepared(tx_, "inventory_statuses", kSelectStatuses,
                                                 db::TextArray(gateways), db::TextArray(serials))) {
      Known& known = known_[{db::TextOf(row[0]), db::TextOf(row[1])}];
      domain::ComponentStatus& status = known.status;
      status.state = known.state_before = static_cast<domain::State>(row[2].as<int>());
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
      status.image_verdict = static_cast<domain::ImageVerdict>(row[14].as<int>());
      known.factory_sha256 = db::TextOf(row[15]);
      status.approval_result = db::TextOf(row[16]);
      status.approval_override = row[17].as<bool>();
      status.stopped = row[18].as<bool>();
      status.first_report_time = db::NullableTimeOf(row[19]);
      if (!row[20].is_null()) {
        status.quarantine.emplace().confirm_time = db::NullableTimeOf(row[21]);
      }
    }
    LoadElsewhere();
  }

  // A device that was moved while its old gateway's keys were still kept here.
  void LoadElsewhere() {
    std::vector<std::string> serials;
    for (const Item* item : accepted_) {
      for (const domain::CheckedReport& report : item->manifest.reports) {
        if (!report.refusal.has_value() && !touched_.contains(&report) &&
            !known_.contains(Key(*item, report))) {
          serials.push_back(report.ecu_serial);
        }
      }
    }
    if (serials.empty()) return;
    for (const pqxx::row& row : tx_.exec_params(kSelectElsewhere, db::TextArray(serials))) {
      elsewhere_.insert(db::TextOf(row[0]));
    }
  }

  void JudgeReports(Item& item) {
    for (size_t i = 0; i < item.manifest.reports.size(); ++i) {
      const domain::CheckedReport& report = item.manifest.reports[i];
      if (touched_.contains(&report)) continue;
      const auto found = known_.find(Key(item, report));
      Known* known = found == known_.end() ? nullptr : &found->second;
      domain::Verdict verdict = domain::JudgeReport(report, item.manifest.nonce, item.received,
                                                    known == nullptr ? nullptr : &known->status);
      if (known != nullptr) {
        known->by = &item;
        known->changed |= verdict.changed;
        known->image_changed |= verdict.image_changed;
        known->accepted |= verdict.accepted;
        if (verdict.accepted) {
          known->proxied = report.report->proxied;
          known->said = Said(*report.report);
        }
      } else if (elsewhere_.contains(report.ecu_serial)) {
        verdict.refusal = domain::BehindOtherGateway();
      }
      item.outcomes[i] = {report.ecu_serial, verdict.refusal, std::nullopt};
      if (verdict.refusal.has_value()) refused_.push_back({&item, &report, *std::move(verdict.refusal)});
    }
  }

  // Finds out what images are that were not there before, and settles the states of all that proved
  // themselves.
  void JudgeImagesOfReports() {
    std::vector<ReportedImage> images;
    std::vector<Known*> of;
    for (auto& [key, known] : known_) {
      if (!known.image_changed) continue;
      images.push_back({key.first, key.second, *known.status.installed});
      of.push_back(&known);
    }
    const std::vector<domain::ImageVerdict> verdicts = JudgeImages(tx_, images);
    for (size_t i = 0; i < of.size(); ++i) of[i]->status.image_verdict = verdicts[i];
    for (auto& [key, known] : known_) {
      if (!known.accepted || known.status.image_verdict == domain::ImageVerdict::kNone) continue;
      known.changed |=
          domain::SettleImage(domain::ModifiedReason(known.status.image_verdict, known.factory_sha256,
                                                     options_.unknown_is_modified),
                              known.proxied, known.status);
      if (known.status.state == domain::State::kModified && known.state_before != domain::State::kModified) {
        result_.modified.push_back(known.status.reason);
      }
    }
  }

  void TellStates(Item& item) {
    for (ReportOutcome& outcome : item.outcomes) {
      const auto known = known_.find({item.manifest.gateway_id, outcome.ecu_serial});
      if (known != known_.end()) outcome.state = known->second.status.state;
    }
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
                       db::NullableTimestampArray(touched.report_times), db::BigintArray(touched.refused),
                       db::BytesArray(touched.said));
    }
    if (changed.gateways.empty()) return;
    db::ExecPrepared(tx_, "inventory_change_components", kChangeComponents, db::TextArray(changed.gateways),
                     db::TextArray(changed.serials), db::BigintArray(changed.counters),
                     db::NullableTimestampArray(changed.report_times), db::BigintArray(changed.refused),
                     db::IntegerArray(changed.states), db::TextArray(changed.reasons),
                     db::NullableTextArray(changed.paths), db::NullableBigintArray(changed.lengths),
                     db::NullableTextArray(changed.sha256s), db::NullableTextArray(changed.versions),
                     db::NullableBigintArray(changed.release_counters), db::TextArray(changed.software),
                     db::TextArray(changed.attacks), db::IntegerArray(changed.verdicts),
                     db::TextArray(changed.approvals), db::BooleanArray(changed.overrides),
                     db::BooleanArray(changed.stopped), db::NullableTimestampArray(changed.first_times),
                     db::NullableTimestampArray(changed.confirm_times), db::BytesArray(changed.said));
    ChangedComponents changes;
    changes.gateways = std::move(changed.gateways);
    changes.serials = std::move(changed.serials);
    changes.times = std::move(changed.received);
    changes.manifest_counters = std::move(changed.manifest_counters);
    RecordChanges(tx_, changes, options_.encode);
    result_.changed = true;
  }

  void WriteRefused() {
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
    // What the gateway noticed itself is kept beside it.
    for (const Item* item : accepted_) {
      for (const trust::Incident& incident : item->manifest.incidents) {
        gateways.push_back(item->manifest.gateway_id);
        times.push_back(item->received);
        counters.push_back(item->manifest.counter);
        serials.push_back(incident.ecu_serial);
        reasons.push_back(incident.reason);
        messages.push_back(MessageOf(incident));
        evidence.emplace_back();
        ++result_.incidents;
      }
    }
    if (gateways.empty()) return;
    db::ExecPrepared(tx_, "inventory_insert_refused", kInsertRefused, db::TextArray(gateways),
                     db::TimestampArray(times), db::BigintArray(counters), db::TextArray(serials),
                     db::TextArray(reasons), db::TextArray(messages), db::BytesArray(evidence));
  }

  struct Columns {
    std::vector<std::string> gateways, serials, reasons, software, attacks, approvals, said;
    std::vector<std::optional<std::string>> paths, sha256s, versions;
    std::vector<std::optional<int64_t>> lengths, release_counters;
    std::vector<int64_t> counters, refused, manifest_counters;
    std::vector<std::optional<absl::Time>> report_times, first_times, confirm_times;
    std::vector<absl::Time> received;
    std::vector<int32_t> states, verdicts;
    std::vector<bool> overrides, stopped;

    void Add(const ComponentKey& key, const Known& known) {
      const domain::ComponentStatus& status = known.status;
      gateways.push_back(key.first);
      serials.push_back(key.second);
      counters.push_back(status.report_counter);
      report_times.push_back(status.report_time);
      refused.push_back(status.refused_reports);
      said.push_back(known.said);
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
      verdicts.push_back(static_cast<int32_t>(status.image_verdict));
      approvals.push_back(status.approval_result);
      overrides.push_back(status.approval_override);
      stopped.push_back(status.stopped);
      first_times.push_back(status.first_report_time);
      confirm_times.push_back(status.quarantine ? status.quarantine->confirm_time : std::nullopt);
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
  absl::flat_hash_set<const domain::CheckedReport*> touched_;
  absl::flat_hash_map<ComponentKey, Known> known_;
  absl::flat_hash_set<std::string> elsewhere_;
  std::vector<Refused> refused_;
  Result result_;
};

ManifestWriter::ManifestWriter(db::Database& database, Options options)
    : database_(database), options_(std::move(options)) {
  for (int i = 0; i < options_.threads; ++i) {
    writers_.push_back(std::make_unique<db::CoalescingWriter<Item>>(
        db::CoalescingWriter<Item>::Options{
            .max_batch = options_.max_batch,
            .max_queued = options_.max_queued,
            .max_batch_weight = options_.max_batch_reports,
            .weigh = [](const Item& item) { return item.manifest.reports.size(); },
            .linger = options_.linger},
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
  std::vector<Entry> waiting;
  for (size_t i = 0; i < items.size(); ++i) waiting.push_back({&items[i], &outcomes[i]});
  std::stable_sort(waiting.begin(), waiting.end(), [](const Entry& a, const Entry& b) {
    return a.item->manifest.gateway_id < b.item->manifest.gateway_id;
  });
  // A gateway that comes more than once has its next turn when the one before is written.
  std::vector<std::vector<Entry>> turns;
  size_t turn = 0;
  for (size_t i = 0; i < waiting.size(); ++i) {
    const bool again =
        i > 0 && waiting[i - 1].item->manifest.gateway_id == waiting[i].item->manifest.gateway_id;
    turn = again ? turn + 1 : 0;
    if (turn == turns.size()) turns.emplace_back();
    turns[turn].push_back(waiting[i]);
  }
  ASSIGN_OR_RETURN(const Batch::Result result,
                   database_.RunInTransaction("SubmitManifests",
                                              [&](db::Transaction& tx) -> absl::StatusOr<Batch::Result> {
                                                std::fill(outcomes.begin(), outcomes.end(), absl::OkStatus());
                                                Batch::Result sum;
                                                for (std::vector<Entry>& entries : turns) {
                                                  sum.Add(Batch(tx, options_).Run(absl::MakeSpan(entries)));
                                                }
                                                return sum;
                                              }));
  if (result.changed) options_.on_change();
  for (const std::string& reason : result.modified) options_.on_modified(reason);
  if (result.incidents > 0) options_.on_incidents(result.incidents);
  return absl::OkStatus();
}

size_t ManifestWriter::queued() const {
  size_t queued = 0;
  for (const auto& writer : writers_) queued += writer->queued();
  return queued;
}

}  // namespace countersign::inventory
