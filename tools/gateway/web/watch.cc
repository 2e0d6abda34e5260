#include "tools/gateway/web/watch.h"

#include <algorithm>
#include <utility>

#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::gateway {
namespace {

// How often the services are asked: while somebody looks and something moves, while somebody looks, and while
// nobody does. A display that is always on must not cost the services more than a gateway does.
constexpr absl::Duration kBusyInterval = absl::Seconds(2);
constexpr absl::Duration kWatchedInterval = absl::Seconds(15);
constexpr absl::Duration kUnwatchedInterval = absl::Minutes(5);
constexpr absl::Duration kWatchedFor = absl::Seconds(40);
// An agent that is busy with an installation does not keep the user from knowing what the services know.
constexpr absl::Duration kAgentPatience = absl::Seconds(10);

bool IsBusy(const HomeFacts& facts) {
  return facts.check.state == Check::State::kRunning || !facts.as_of ||
         std::any_of(facts.assignments.begin(), facts.assignments.end(), [](const auto& assignment) {
           return assignment.phase() == common::v1::UPDATE_PHASE_IDLE ||
                  (assignment.phase() >= common::v1::UPDATE_PHASE_DOWNLOADING &&
                   assignment.phase() <= common::v1::UPDATE_PHASE_VERIFYING &&
                   assignment.phase() != common::v1::UPDATE_PHASE_AWAITING_CONSENT);
         });
}

}  // namespace

HomeWatch::HomeWatch(std::string gateway_id, const Services* services, Acts* acts, Desk* desk,
                     const Clock* clock)
    : services_(*services), acts_(*acts), desk_(*desk), clock_(*clock) {
  facts_.gateway_id = std::move(gateway_id);
  thread_ = std::thread([this] { Run(); });
}

HomeWatch::~HomeWatch() {
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  thread_.join();
}

HomeFacts HomeWatch::Look() {
  std::vector<Confirmation> confirmations = desk_.confirmations();
  std::vector<ComponentProgress> progress = desk_.progress();
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  // What was not watched is old by now.
  if (now - looked_ > kWatchedFor) wanted_ = true;
  looked_ = now;
  facts_.confirmations = std::move(confirmations);
  facts_.progress = std::move(progress);
  return facts_;
}

absl::StatusOr<Outcome> HomeWatch::Submit(const Act& act, absl::Duration patience) {
  RETURN_IF_ERROR(acts_.Add(act));
  {
    absl::MutexLock lock(&mutex_);
    wanted_ = true;
    // The round that runs may have sent its acts already: the one after it sends this one for certain.
    const int64_t enough = rounds_ + (running_ ? 2 : 1);
    const auto done = [this, enough]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return rounds_ >= enough; };
    mutex_.AwaitWithTimeout(absl::Condition(&done), patience);
  }
  for (const Act& other : acts_.List()) {
    if (other.id == act.id) return other.state == Act::State::kRefused ? Outcome::kRefused : Outcome::kKept;
  }
  return Outcome::kTaken;
}

void HomeWatch::CheckNow() {
  (void)desk_.Check(absl::ZeroDuration());  // it looks, and nobody here waits
  absl::MutexLock lock(&mutex_);
  facts_.check = {.state = Check::State::kRunning, .time = clock_.Now()};
  wanted_ = true;
}

void HomeWatch::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      const bool watched = clock_.Now() - looked_ <= kWatchedFor;
      const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return wanted_ || ended_; };
      mutex_.AwaitWithTimeout(absl::Condition(&due), Interval(watched));
      if (ended_) return;
      wanted_ = false;
      running_ = true;
    }
    const bool kept = !SendActs();
    Fetch();
    absl::MutexLock lock(&mutex_);
    kept_ = kept;
    running_ = false;
    ++rounds_;
  }
}

absl::Duration HomeWatch::Interval(bool watched) const {
  if (!watched) return kept_ ? kWatchedInterval : kUnwatchedInterval;
  return kept_ || IsBusy(facts_) ? kBusyInterval : kWatchedInterval;
}

bool HomeWatch::SendActs() {
  for (const Act& act : acts_.List()) {
    if (act.state != Act::State::kKept) continue;
    const absl::Status status = services_.Send(act);
    if (!status.ok() && IsWorthRepeating(status)) {
      log::Warn("a user's answer is kept", {{"id", act.id}, {"error", status}});
      return false;  // the rest would have to wait as long
    }
    if (!status.ok()) log::Warn("a user's answer was refused", {{"id", act.id}, {"error", status}});
    const absl::Status kept = status.ok() ? acts_.Remove(act.id) : acts_.Refuse(act.id, ReasonOf(status));
    // It is sent again, with the same request id: the service answers the same.
    if (!kept.ok()) log::Error("a user's answer cannot be noted", {{"id", act.id}, {"error", kept}});
  }
  return true;
}

bool HomeWatch::AgentHasLooked(absl::Time check_began) const {
  const std::optional<CheckOutcome> last = desk_.last_check();
  return (last && last->time >= check_began) || clock_.Now() - check_began > kAgentPatience;
}

void HomeWatch::Fetch() {
  HomeFacts fresh;
  {
    absl::MutexLock lock(&mutex_);
    fresh = facts_;
  }
  const Check began = fresh.check;
  // What the agent's look has brought about at the server is to be seen here.
  const bool check = began.state == Check::State::kRunning && AgentHasLooked(began.time);
  absl::Status status = services_.Refresh(&fresh);
  if (status.ok() && check) status = services_.FindOffers(&fresh);
  if (!status.ok()) log::Warn("the page cannot be brought up to date", {{"error", status}});
  const absl::Time now = clock_.Now();
  absl::MutexLock lock(&mutex_);
  // Somebody may have asked anew meanwhile.
  if (check && facts_.check.time == began.time) {
    facts_.check = {.state = status.ok() ? Check::State::kDone : Check::State::kFailed, .time = now};
  }
  facts_.reachable = status.ok();
  if (!status.ok()) return;
  facts_.prompts = std::move(fresh.prompts);
  facts_.records = std::move(fresh.records);
  facts_.policies = std::move(fresh.policies);
  facts_.assignments = std::move(fresh.assignments);
  facts_.components = std::move(fresh.components);
  facts_.releases = std::move(fresh.releases);
  facts_.offers = std::move(fresh.offers);
  facts_.as_of = now;
}

}  // namespace countersign::gateway
