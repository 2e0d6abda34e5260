#include "services/rollout/storage/rows.h"

namespace countersign::rollout {

Rollout RolloutOf(const pqxx::row& row) {
  Rollout rollout;
  rollout.id = db::TextOf(row["id"]);
  rollout.spec.display_name = db::TextOf(row["display_name"]);
  rollout.spec.releases = db::TextArrayOf(row["release_names"]);
  rollout.spec.filter = db::TextOf(row["filter"]);
  rollout.spec.max_concurrent = row["max_concurrent"].as<int64_t>();
  rollout.spec.max_failures = row["max_failures"].as<int64_t>();
  rollout.spec.assignment_timeout = absl::Microseconds(row["assignment_timeout_us"].as<int64_t>());
  rollout.spec.bundle = row["bundle"].as<bool>();
  rollout.state = static_cast<RolloutState>(row["state"].as<int>());
  rollout.state_reason = db::TextOf(row["state_reason"]);
  rollout.created_by = db::TextOf(row["created_by"]);
  rollout.create_time = db::TimeOf(row["create_time"]);
  rollout.launched_by = db::TextOf(row["launched_by"]);
  rollout.launch_time = db::NullableTimeOf(row["launch_time"]);
  rollout.end_time = db::NullableTimeOf(row["end_time"]);
  rollout.counts.total = row["total"].as<int64_t>();
  rollout.counts.waiting = row["waiting"].as<int64_t>();
  rollout.counts.active = row["active"].as<int64_t>();
  rollout.counts.succeeded = row["succeeded"].as<int64_t>();
  rollout.counts.failed = row["failed"].as<int64_t>();
  rollout.counts.cancelled = row["cancelled"].as<int64_t>();
  rollout.failures_since_go = row["failures_since_go"].as<int64_t>();
  rollout.revision = row["revision"].as<int64_t>();
  return rollout;
}

Assignment AssignmentOf(const pqxx::row& row) {
  Assignment assignment;
  assignment.gateway = db::TextOf(row["gateway"]);
  assignment.ecu_serial = db::TextOf(row["ecu_serial"]);
  assignment.rollout = db::TextOf(row["rollout"]);
  assignment.hardware_id = db::TextOf(row["hardware_id"]);
  assignment.release = row["release"].as<int>();
  assignment.from_version = db::TextOf(row["from_version"]);
  assignment.from_release_counter = row["from_release_counter"].as<int64_t>();
  assignment.from_report_counter = row["from_report_counter"].as<int64_t>();
  assignment.state = static_cast<AssignmentState>(row["state"].as<int>());
  assignment.failure_reason = row["failure_reason"].as<int>();
  assignment.failure_detail = db::TextOf(row["failure_detail"]);
  assignment.consent_record = db::TextOf(row["consent_record"]);
  assignment.consented_by = db::TextOf(row["consented_by"]);
  assignment.signed_consent = db::NullableBytesOf(row["signed_consent"]).value_or("");
  assignment.consent_until = db::NullableTimeOf(row["consent_until"]);
  assignment.proxied = row["proxied"].as<bool>();
  assignment.admit_time = db::NullableTimeOf(row["admit_time"]);
  assignment.update_time = db::TimeOf(row["update_time"]);
  assignment.due_time = db::NullableTimeOf(row["due_time"]);
  return assignment;
}

Release ReleaseOf(const pqxx::row& row) {
  Release release;
  release.name = db::TextOf(row["release_name"]);
  release.manufacturer = db::TextOf(row["manufacturer"]);
  release.image.target_path = db::TextOf(row["target_path"]);
  release.image.length = row["length_bytes"].as<int64_t>();
  release.image.sha256 = db::TextOf(row["sha256"]);
  release.version = db::TextOf(row["version"]);
  release.version_format = static_cast<VersionFormat>(row["version_format"].as<int>());
  release.release_counter = row["release_counter"].as<int64_t>();
  release.models = db::TextArrayOf(row["models"]);
  release.hardware_ids = db::TextArrayOf(row["hardware_ids"]);
  release.minimum_installed_version = db::TextOf(row["minimum_installed_version"]);
  release.kind = db::TextOf(row["kind"]);
  release.manufacturer_key_ids = db::TextArrayOf(row["manufacturer_key_ids"]);
  release.approved_by = db::TextOf(row["approved_by"]);
  return release;
}

}  // namespace countersign::rollout
