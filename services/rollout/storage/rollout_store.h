#ifndef COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ROLLOUT_STORE_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ROLLOUT_STORE_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "services/rollout/domain/assignment.h"
#include "services/rollout/domain/release.h"
#include "services/rollout/domain/rollout.h"

namespace countersign::rollout {

// A mutation as its caller sent it, so that the same one sent twice is done once.
struct Request {
  std::string principal;  // role/id
  std::string method;
  std::string request_id;
  std::string bytes;                                          // of the request
  std::function<std::string(const Rollout& rollout)> encode;  // the response that is recorded
};

struct AssignmentKey {
  std::string gateway;
  std::string ecu_serial;
  std::string rollout;

  friend auto operator<=>(const AssignmentKey&, const AssignmentKey&) = default;
};

// An assignment with what its rollout and release add to it.
struct AssignmentView {
  Assignment assignment;
  Release release;
  RolloutState rollout_state = RolloutState::kPlanning;
  std::string launched_by;
  bool bundle = false;  // as RolloutSpec has it
};

// A claim to plan a rollout, held until `lease_until`.
struct PlanningJob {
  Rollout rollout;
  std::vector<Release> releases;
  std::string planner;
};

struct Planned {
  Component component;
  int release = 0;
};

// What consent decided about an assignment.
struct ConsentDecision {
  std::string rollout;
  std::string gateway;
  std::string ecu_serial;
  AssignmentEvent event = AssignmentEvent::kConsentPending;
  std::string record;     // gateways/{gateway}/records/{record}
  std::string principal;  // the user
  std::string signed_record;
  std::optional<absl::Time> until;  // until when a grant holds, to when it was put off
};

struct Progress {
  std::string ecu_serial;
  std::string sha256;
  AssignmentEvent event = AssignmentEvent::kReportedDownloading;
  int failure_reason = 0;
  std::string failure_detail;
};

// An assignment that came to an end: for metrics.
struct Ended {
  AssignmentState state;
  int failure_reason = 0;
};

// Campaigns and assignments. Every function is one transaction (or a step of the caller's, where it takes
// one), leaves counts, budgets, Director and hints in agreement, and may be called by any number of replicas
// at once. Blocks; thread-safe. Errors as db::Database, and those named.
class RolloutStore {
 public:
  // `on_ended`, called after the commit for each assignment that ended, must not block.
  RolloutStore(db::Database& database, const Clock& clock,
               std::function<void(const Ended&)> on_ended = nullptr);

  // --- rollouts ---

  // The recorded response: of this call, or of the first one with the same request id.
  absl::StatusOr<std::string> Create(const Rollout& rollout, const std::vector<Release>& releases,
                                     const Request& request);
  // NOT_FOUND (ROLLOUT_UNKNOWN).
  absl::StatusOr<Rollout> Get(const std::string& id);
  absl::StatusOr<std::vector<Release>> Releases(const std::string& id);
  // Newest first, at most `limit`, after the rollout of that time and id.
  absl::StatusOr<std::vector<Rollout>> List(int limit,
                                            std::optional<std::pair<absl::Time, std::string>> after);
  // An operator's verb. `etag`, unless empty, must be the rollout's: ABORTED (ETAG_MISMATCH). `packages` is
  // what stands behind each release, for kStart. NOT_FOUND, FAILED_PRECONDITION (WRONG_STATE).
  absl::StatusOr<std::string> Apply(const std::string& id, RolloutEvent event, absl::string_view etag,
                                    const std::vector<Package>& packages, const Request& request);
  // Rollouts that have assignments that are not over, or are not over themselves, by id.
  absl::StatusOr<std::vector<Rollout>> Open();
  absl::StatusOr<std::map<AssignmentState, int64_t>> CountStates(const std::string& rollout);

  // --- planning ---

  // The oldest rollout that is PLANNING and that nobody plans, for `planner` until `lease` is over.
  absl::StatusOr<std::optional<PlanningJob>> ClaimPlanning(const std::string& planner, absl::Duration lease);
  // Gives the components their assignments, and renews the lease. What has one from this rollout already is
  // left alone, what has an open one from another gets a CANCELLED one with reason CONFLICT. ABORTED
  // (PLANNING_LOST) when somebody else plans it now, or it is not PLANNING any more.
  absl::Status Plan(const PlanningJob& job, const std::vector<Planned>& components, absl::Duration lease);
  absl::Status FinishPlanning(const PlanningJob& job);
  absl::Status FailPlanning(const PlanningJob& job, absl::string_view reason);
  // Lets another one plan it at once.
  absl::Status YieldPlanning(const PlanningJob& job);

  // --- what workers do for one rollout; each returns how many assignments it moved, at most `limit` ---

  // Lets consented ones in as far as max_concurrent allows. 0 also when another replica is just at it, and
  // for a rollout of bundles (see Bundles).
  absl::StatusOr<int> Admit(const std::string& rollout, int limit);
  absl::StatusOr<int> TimeOut(const std::string& rollout, int limit);
  absl::StatusOr<int> EndDeferrals(const std::string& rollout, int limit);
  // After an abort.
  absl::StatusOr<int> CallOff(const std::string& rollout, int limit);
  // Those whose consent is to be asked for, held for `lease`: nobody else gets them before that is over.
  absl::StatusOr<std::vector<AssignmentView>> ClaimForConsent(const std::string& rollout, int limit,
                                                              absl::Duration lease);
  // Gives them back before the lease is over: nobody could be asked.
  absl::Status ReturnClaims(const std::vector<AssignmentView>& claimed);
  // Pauses a RUNNING rollout for a reason that an operator has to deal with.
  absl::Status PauseBecause(const std::string& rollout, absl::string_view reason);
  // Questions that need no answer any more, until they are forgotten.
  absl::StatusOr<std::vector<AssignmentKey>> ClosingQuestions(int limit);
  absl::Status ForgetClosing(const std::vector<AssignmentKey>& keys);
  // Open assignments that wait or may still be called back, in order of the key: all that consent can still
  // move.
  absl::StatusOr<std::vector<AssignmentView>> Recallable(int limit,
                                                         const std::optional<AssignmentKey>& after);

  // --- news from outside; within a caller's transaction `on_ended` is called before its commit ---

  absl::Status Decide(const std::vector<ConsentDecision>& decisions);
  absl::Status Decide(db::Transaction& tx, const ConsentDecision& decision);
  // Completes the component's assignment if this proves it, and has the Director tell its gateway when it is
  // ordered to stop, or no longer.
  absl::Status TakeComponent(db::Transaction& tx, const Component& component);
  absl::Status TakeComponents(const std::vector<Component>& components);
  // Whether each was taken.
  absl::StatusOr<std::vector<bool>> Report(const std::string& gateway, const std::vector<Progress>& progress);
  // The Director's signer refused it: `event` is kRefusedBySigner or kConsentExpired.
  absl::Status Refuse(const AssignmentKey& key, AssignmentEvent event, FailureReason reason,
                      absl::string_view detail);

  // --- reading assignments ---

  // In order of gateway, ecu_serial and rollout; of one rollout and one gateway where given.
  absl::StatusOr<std::vector<AssignmentView>> Assignments(const std::optional<std::string>& rollout,
                                                          const std::optional<std::string>& gateway,
                                                          int limit,
                                                          const std::optional<AssignmentKey>& after);
  // What the Director may name for `gateway` now: assignments that are let in and not over.
  absl::StatusOr<std::vector<AssignmentView>> Admitted(db::Session& session, const std::string& gateway);

  // What `gateway` may fetch ahead: assignments of running rollouts that wait for consent or for their turn.
  absl::StatusOr<std::vector<AssignmentView>> Ahead(db::Session& session, const std::string& gateway);

  absl::Time Now() const { return clock_.Now(); }

 private:
  void Tell(const std::vector<Ended>& ended) const;
  absl::Status TakeProof(db::Transaction& tx, const Component& component);

  db::Database& database_;
  const Clock& clock_;
  const std::function<void(const Ended&)> on_ended_;
};

// What a hint is about; the payload of a hint event, whose key is the gateway.
inline constexpr char kHintKind[] = "hint";
inline constexpr char kHintMetadata[] = "METADATA";
inline constexpr char kHintPrompts[] = "PROMPTS";

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ROLLOUT_STORE_H_
