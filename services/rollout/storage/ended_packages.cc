#include "services/rollout/storage/ended_packages.h"

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/macros.h"
#include "services/rollout/storage/work.h"

namespace countersign::rollout {
namespace {

// An end takes this many of each rollout with it in its own transaction.
constexpr int kStoppedAtOnce = 1000;

constexpr char kPut[] = R"sql(
  INSERT INTO ended_packages (target_path, why) VALUES ($1, $2)
  ON CONFLICT (target_path) DO UPDATE SET why = excluded.why)sql";
constexpr char kForget[] = "DELETE FROM ended_packages WHERE target_path = $1";
// What comes back may end again.
constexpr char kUnstop[] = "UPDATE rollout_releases SET stopped = false WHERE target_path = $1 AND stopped";
constexpr char kWhy[] = "SELECT why FROM ended_packages WHERE target_path = $1";

// Rollouts that are not launched yet are left: StartRollout asks the package store, and a withdrawn package
// may be back by then.
constexpr char kToStop[] = R"sql(
  SELECT r.rollout, r.ordinal, e.target_path, e.why
  FROM ended_packages e
  JOIN rollout_releases r ON r.target_path = e.target_path
  JOIN rollouts o ON o.id = r.rollout
  WHERE NOT r.stopped AND o.launched_by <> '' AND o.end_time IS NULL
  ORDER BY r.rollout, r.ordinal)sql";
constexpr char kRecallable[] = R"sql(
  SELECT gateway, ecu_serial FROM assignments
  WHERE rollout = $1 AND release = $2 AND state < $3 ORDER BY gateway, ecu_serial LIMIT $4)sql";
constexpr char kStopped[] = "UPDATE rollout_releases SET stopped = true WHERE rollout = $1 AND ordinal = $2";

}  // namespace

struct EndedPackages::Release {
  std::string rollout;
  int ordinal;
  std::string target_path;
  std::string why;
};

std::vector<EndedPackages::Release> EndedPackages::ToStop(db::Session& session) {
  std::vector<Release> releases;
  for (const pqxx::row& row : db::ExecPrepared(session, "releases_to_stop", kToStop)) {
    releases.push_back({db::TextOf(row[0]), row[1].as<int>(), db::TextOf(row[2]), db::TextOf(row[3])});
  }
  return releases;
}

bool EndedPackages::StopSome(db::Transaction& tx, const Release& release, int limit, bool wait) {
  Work work(tx, clock_.Now());
  if (wait) {
    work.LockRollouts({release.rollout});
  } else {
    work.TryLockRollout(release.rollout);
  }
  Rollout* rollout = work.FindRollout(release.rollout);
  if (rollout == nullptr) return false;  // another replica is just at it
  std::vector<AssignmentKey> keys;
  for (const pqxx::row& row : tx.exec_params(kRecallable, release.rollout, release.ordinal,
                                             static_cast<int>(AssignmentState::kUpdating), limit)) {
    keys.push_back({db::TextOf(row[0]), db::TextOf(row[1]), release.rollout});
  }
  for (Assignment* assignment : work.LockAssignments(keys)) {
    work.Apply(*assignment, AssignmentEvent::kPackageEnded, FailureReason::kNotApproved, release.why);
  }
  const bool more = static_cast<int>(keys.size()) == limit;
  if (!more) {
    // Once launched, a rollout gets no further assignments.
    tx.exec_params(kStopped, release.rollout, release.ordinal);
    rollout->state_reason = absl::StrCat(release.target_path, ": ", release.why);
    work.Touch(*rollout);
  }
  for (const Ended& ended : work.Save()) {
    if (on_ended_) on_ended_(ended);
  }
  return more;
}

absl::Status EndedPackages::Take(db::Transaction& tx, const PackageNews& news) {
  if (!news.ended) {
    tx.exec_params(kForget, news.target_path);
    tx.exec_params(kUnstop, news.target_path);
    return absl::OkStatus();
  }
  tx.exec_params(kPut, news.target_path, news.why);
  for (const Release& release : ToStop(tx)) {
    if (release.target_path == news.target_path) StopSome(tx, release, kStoppedAtOnce, /*wait=*/true);
  }
  return absl::OkStatus();
}

absl::Status EndedPackages::TakeAll(const std::vector<PackageNews>& news) {
  return database_.RunInTransaction("TakePackages", [&](db::Transaction& tx) -> absl::Status {
    for (const PackageNews& entry : news) RETURN_IF_ERROR(Take(tx, entry));
    return absl::OkStatus();
  });
}

absl::StatusOr<bool> EndedPackages::Stop(int limit) {
  using Releases = std::vector<Release>;
  ASSIGN_OR_RETURN(const Releases releases,
                   database_.Read("ReleasesToStop", [&](db::Reader& reader) -> absl::StatusOr<Releases> {
                     return ToStop(reader);
                   }));
  bool more = false;
  for (const Release& release : releases) {
    ASSIGN_OR_RETURN(const bool rest, database_.RunInTransaction(
                                          "StopEnded", [&](db::Transaction& tx) -> absl::StatusOr<bool> {
                                            return StopSome(tx, release, limit, /*wait=*/false);
                                          }));
    more = more || rest;
  }
  return more;
}

absl::StatusOr<std::optional<std::string>> EndedPackages::Why(const std::string& target_path) {
  using Answer = std::optional<std::string>;
  return database_.Read("WhyEnded", [&](db::Reader& reader) -> absl::StatusOr<Answer> {
    const pqxx::result rows = db::ExecPrepared(reader, "why_ended", kWhy, target_path);
    return rows.empty() ? Answer() : Answer(db::TextOf(rows[0][0]));
  });
}

}  // namespace countersign::rollout
