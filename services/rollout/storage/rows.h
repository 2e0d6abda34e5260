#ifndef COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ROWS_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ROWS_H_

#include "common/db/sql.h"
#include "services/rollout/domain/assignment.h"
#include "services/rollout/domain/release.h"
#include "services/rollout/domain/rollout.h"

// Rows to values. Each function reads the columns of the list above it, by name.
namespace countersign::rollout {

inline constexpr char kRolloutColumns[] =
    "o.id, o.display_name, o.filter, o.max_concurrent, o.max_failures, o.assignment_timeout_us, o.bundle, "
    "o.state, "
    "o.state_reason, o.created_by, o.create_time, o.launched_by, o.launch_time, o.end_time, o.total, "
    "o.waiting, "
    "o.active, o.succeeded, o.failed, o.cancelled, o.failures_since_go, o.revision, "
    "ARRAY(SELECT n.name FROM rollout_releases n WHERE n.rollout = o.id ORDER BY n.ordinal) AS release_names";
Rollout RolloutOf(const pqxx::row& row);

inline constexpr char kAssignmentColumns[] =
    "a.gateway, a.ecu_serial, a.rollout, a.hardware_id, a.release, a.from_version, a.from_release_counter, "
    "a.from_report_counter, a.state, a.failure_reason, a.failure_detail, a.consent_record, a.consented_by, "
    "a.signed_consent, a.consent_until, a.proxied, a.admit_time, a.update_time, a.due_time";
Assignment AssignmentOf(const pqxx::row& row);

// All but `info`, which only who asks for consent needs.
inline constexpr char kReleaseColumns[] =
    "r.name AS release_name, r.manufacturer, r.target_path, r.length_bytes, r.sha256, r.version, "
    "r.version_format, "
    "r.release_counter, r.models, r.hardware_ids, r.minimum_installed_version, r.kind, "
    "r.manufacturer_key_ids, "
    "r.approved_by";
Release ReleaseOf(const pqxx::row& row);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ROWS_H_
