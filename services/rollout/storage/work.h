#ifndef COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_WORK_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_WORK_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/rollout/domain/assignment.h"
#include "services/rollout/domain/rollout.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// One transaction's changes to rollouts and assignments: locks, applies the domain's rules, and writes all of
// it with what follows from it (counts, budgets, the gateways' Director revisions, hints). Locks are taken in
// one order, rollouts before assignments before Director rows, so that transactions wait for each other and
// seldom deadlock. Throws pqxx's exceptions.
class Work {
 public:
  Work(db::Transaction& tx, absl::Time now) : tx_(tx), now_(now) {}

  // Locks the rollouts of these ids that exist, in order of id.
  void LockRollouts(const std::set<std::string>& ids);
  // Locks one unless somebody else has it; nullptr then, and when it does not exist.
  Rollout* TryLockRollout(const std::string& id);
  Rollout* FindRollout(const std::string& id);
  // Writes it at Save(), also when no assignment changed.
  void Touch(const Rollout& rollout) { touched_.insert(rollout.id); }

  // Locks the assignments of these keys that exist.
  std::vector<Assignment*> LockAssignments(const std::vector<AssignmentKey>& keys);
  // Locks at most `limit` of the rollout's assignments whose state is in [from, to], in order of due_time;
  // with `due` only those whose due_time has come.
  std::vector<Assignment*> LockAssignments(const std::string& rollout, AssignmentState from,
                                           AssignmentState to, bool due, int limit);
  // Of one gateway, those that are let in and not over.
  std::vector<Assignment*> LockActive(const std::string& gateway);

  // Applies `event`; false, and nothing changed, when it is not for the assignment's state. Whatever else the
  // event says is to be set on the assignment before or after. Where the assignment counts (it waits, is let
  // in, is over) changes only with its rollout locked.
  bool Apply(Assignment& assignment, AssignmentEvent event);
  // The same with why it ended, if it did.
  bool Apply(Assignment& assignment, AssignmentEvent event, FailureReason reason, absl::string_view detail);

  // The user need not answer any more: the consent service is told after the commit.
  void CloseQuestion(const Assignment& assignment);

  // Writes everything; returns what ended.
  std::vector<Ended> Save();

  absl::Time now() const { return now_; }

 private:
  std::string VersionOf(const std::string& rollout, int release);

  db::Transaction& tx_;
  const absl::Time now_;
  std::map<std::string, Rollout> rollouts_;
  std::set<std::string> touched_;
  std::vector<std::unique_ptr<Assignment>> assignments_;
  std::set<const Assignment*> changed_;
  std::set<std::string> director_;                       // gateways whose entries change
  std::set<std::pair<std::string, std::string>> hints_;  // gateway, subject
  std::set<AssignmentKey> closing_;
};

// Raises the revision of these gateways' Director metadata: what is signed is out of date from this commit
// on.
void BumpDirector(db::Transaction& tx, const std::set<std::string>& gateways);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_WORK_H_
