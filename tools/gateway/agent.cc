#include "tools/gateway/agent.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"

namespace countersign::gateway {
namespace {

using rollout::v1::RolloutService;
using rollout::v1::StreamHintsResponse;

constexpr absl::Duration kTick = absl::Milliseconds(500);
constexpr absl::Duration kCallTimeout = absl::Seconds(20);
constexpr absl::Duration kReportInterval = absl::Hours(24);
constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLongestRetry = absl::Seconds(30);
constexpr int kMaxDoublings = 10;
// Nobody may put the gateway off for longer.
constexpr absl::Duration kLongestDelay = absl::Hours(1);
constexpr absl::Duration kHintPause = absl::Milliseconds(100);
constexpr absl::Duration kIncidentSpacing = absl::Minutes(1);
constexpr absl::Duration kReadingsInterval = absl::Seconds(5);
constexpr absl::Duration kCallingTime = absl::Seconds(5);

// A time between half of `duration` and all of it.
absl::Duration Jitter(absl::Duration duration) {
  thread_local absl::BitGen generator;
  return duration * absl::Uniform(generator, 0.5, 1.0);
}

}  // namespace

void Backoff::Failed(absl::Time now) {
  failures_ = std::min(failures_ + 1, kMaxDoublings);
  next_ = now + Jitter(std::min(longest_, first_ * (1 << failures_)));
}

bool HintBudget::Take(absl::Time now) {
  if (since_ != absl::InfinitePast() && now > since_) {
    left_ = std::min<double>(kBurst, left_ + absl::FDivDuration(now - since_, kRefill));
  }
  since_ = now;
  flooded_ = left_ < 1;
  if (!flooded_) left_ -= 1;
  return !flooded_;
}

Agent::Agent(AgentOptions options, std::shared_ptr<grpc::Channel> rollout, Reporter* reporter,
             Updater* updater, Incidents* incidents, Desk* desk)
    : options_(std::move(options)),
      rollout_(std::move(rollout)),
      reporter_(*reporter),
      updater_(*updater),
      incidents_(*incidents),
      desk_(*desk),
      inbox_(options_.dir),
      next_report_(absl::InfinitePast()),
      next_check_in_(absl::InfinitePast()),
      report_backoff_(kFirstRetry, kLongestRetry),
      look_backoff_(kFirstRetry, kLongestRetry),
      settle_backoff_(kFirstRetry, kLongestRetry),
      answer_backoff_(kFirstRetry, kLongestRetry) {}

void Agent::Run() {
  std::thread hints([this] { FollowHints(); });
  const auto hinted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return hints_ > 0; };
  while (true) {
    Tick(SystemClock().Now());
    {
      absl::MutexLock lock(&mutex_);
      if (!mutex_.AwaitWithTimeout(absl::Condition(&hinted), kTick)) continue;
      if (hint_budget_.Take(SystemClock().Now())) {
        check_in_due_ = true;
        hints_ = 0;
        continue;
      }
    }
    // The hint waits for its turn, and so does this loop, which would find it again at once.
    incidents_.Note("HINT_FLOOD", "", "", "more hints than are worth following");
    absl::SleepFor(kTick);
  }
}

void Agent::FollowHints() {
  Backoff backoff(kFirstRetry, kLongestRetry);
  while (true) {
    rpc::CallContext context(absl::InfiniteFuture());
    const absl::Time begin = SystemClock().Now();
    const auto reader =
        RolloutService::NewStub(rollout_)->StreamHints(context.get(), rollout::v1::StreamHintsRequest());
    StreamHintsResponse hint;
    while (reader->Read(&hint)) {
      backoff.Succeeded();
      bool first = false;
      {
        absl::MutexLock lock(&mutex_);
        first = hints_++ == 0;
      }
      if (first) {
        log::Info("hinted", {{"subject", StreamHintsResponse::Subject_Name(hint.subject())}});
      } else {
        // One waits to be followed already. Who sends more of them is read slowly.
        absl::SleepFor(kHintPause);
      }
    }
    const absl::Status status = rpc::FromGrpc(reader->Finish());
    incidents_.NoteIfForged("rollout", status);
    // A stream without news was none the worse: only those that end soon are reason to wait long.
    if (SystemClock().Now() - begin > kLongestRetry) backoff.Succeeded();
    backoff.Failed(SystemClock().Now());
    log::Info("hint stream ended", {{"error", status}});
    absl::SleepFor(backoff.next() - SystemClock().Now());
  }
}

void Agent::Tick(absl::Time now) {
  const absl::StatusOr<std::vector<Socket>> sockets = ListSockets(options_.lan);
  if (!sockets.ok()) {
    if (report_backoff_.due(now)) {
      log::Error("no local network", {{"error", sockets.status()}});
      report_backoff_.Failed(now);
    }
    return;
  }
  Serve(*sockets);
  if (settle_backoff_.due(now) && updater_.awaiting()) {
    if (const absl::Status status = updater_.Settle(present_); status.ok()) {
      settle_backoff_.Succeeded();
    } else {
      log::Warn("cannot go on now", {{"error", status}});
      settle_backoff_.Failed(now);
    }
    // What was waiting for its device to come back may have to begin again.
    if (!updater_.awaiting()) look_due_ = true;
  }
  if (updater_.readings_awaited() && now >= next_readings_) {
    next_readings_ = now + kReadingsInterval;
    if (updater_.ReadingsAllow()) look_due_ = true;
  }
  if (updater_.TakeChanged() || DevicesChanged(*sockets, now) || now >= next_report_) report_due_ = true;
  if (now >= next_incident_report_ && incidents_.TakeNews()) {
    report_due_ = true;
    next_incident_report_ = now + kIncidentSpacing;
  }
  if (report_due_ && report_backoff_.due(now)) Report(*sockets, now);
  const bool asked = !checks_.empty() || desk_.check_wanted();
  if (asked || ((check_in_due_ || look_due_ || now >= next_check_in_) && look_backoff_.due(now)))
    CheckIn(now);
  desk_.Show(updater_.confirmations(), updater_.progress());
}

void Agent::Serve(const std::vector<Socket>& sockets) {
  for (ConfirmationAnswer& answer : desk_.TakeAnswers()) answers_.push_back(std::move(answer));
  for (const InboxRequest& request : inbox_.Take()) {
    if (request.kind == InboxRequest::Kind::kCheck) {
      checks_.push_back(request.id);
    } else if (request.kind == InboxRequest::Kind::kInstallPackage) {
      const absl::StatusOr<std::string> outcome = InstallPackage(sockets, request.argument);
      inbox_.Answer(request.id, outcome.ok() ? *outcome : std::string(outcome.status().message()),
                    outcome.ok());
    } else {
      desk_.Show(updater_.confirmations(), updater_.progress());
      const absl::Status status = desk_.Confirm(request.answer);
      inbox_.Answer(request.id, status.ok() ? "the device is told" : std::string(status.message()),
                    status.ok());
      for (ConfirmationAnswer& answer : desk_.TakeAnswers()) answers_.push_back(std::move(answer));
    }
  }
  const absl::Time now = SystemClock().Now();
  while (!answers_.empty() && answer_backoff_.due(now)) {
    const absl::Status status = updater_.Answer(answers_.front());
    if (absl::IsUnavailable(status)) {
      answer_backoff_.Failed(now);
      break;
    }
    if (!status.ok()) log::Warn("user's word not passed on", {{"error", status}});
    answer_backoff_.Succeeded();
    answers_.pop_front();
    look_due_ = true;
  }
}

absl::StatusOr<std::string> Agent::InstallPackage(const std::vector<Socket>& sockets,
                                                  const std::string& path) {
  // Whether or not there is a network: the devices are asked anew, and nobody else.
  present_ = reporter_.SurveyAlone(sockets).components;
  const absl::StatusOr<std::vector<std::string>> outcome = updater_.InstallPackage(path, present_);
  look_due_ = true;
  if (!outcome.ok()) {
    log::Warn("package refused",
              {{"file", path}, {"reason", ReasonOf(outcome.status())}, {"error", outcome.status()}});
    incidents_.Note(outcome.status(), "PACKAGE_REFUSED");
    return Annotate(outcome.status(), absl::StrCat("refused (", ReasonOf(outcome.status()), ")"));
  }
  return absl::StrJoin(*outcome, "\n");
}

void Agent::FinishCheck(const absl::Status& status) {
  CheckOutcome outcome{.time = SystemClock().Now(),
                       .status = status,
                       .updates = updater_.pending_updates(),
                       .prompts = prompts_waiting_,
                       .confirmations = static_cast<int>(updater_.confirmations().size())};
  for (const std::string& request : checks_) inbox_.Answer(request, CheckText(outcome), status.ok());
  checks_.clear();
  desk_.Checked(std::move(outcome));
}

bool Agent::DevicesChanged(const std::vector<Socket>& sockets, absl::Time now) {
  bool changed = false;
  for (const Socket& socket : sockets) {
    if (const auto known = reported_.find(socket.path);
        known != reported_.end() && known->second == socket.instance) {
      continue;
    }
    auto calling = calling_.find(socket.path);
    if (calling == calling_.end() || calling->second.instance != socket.instance) {
      calling_.erase(socket.path);
      calling = calling_.emplace(socket.path, Calling{socket.instance, Backoff(kTick, kLongestRetry)}).first;
    }
    // A socket that nobody answers at is left behind by a device that lost its power.
    if (!calling->second.backoff.due(now)) continue;
    const absl::Status described = DeviceLink(socket).GetDescription().status();
    changed = changed || described.ok();
    if (!described.ok() && !IsGone(described)) {
      const std::string reason = ReasonOf(described);
      incidents_.Note(reason.empty() ? "DEVICE_NONSENSE" : absl::string_view(reason), socket.device_id, "",
                      described.message());
    }
    calling->second.backoff.Failed(now);
    // Many that are silent must not keep the others waiting: they have their turn at the next tick.
    if (SystemClock().Now() - now > kCallingTime) break;
  }
  return changed;
}

void Agent::Report(const std::vector<Socket>& sockets, absl::Time now) {
  absl::StatusOr<ReportOutcome> outcome = reporter_.Report(sockets);
  if (!outcome.ok()) {
    log::Warn("manifest not taken", {{"error", outcome.status()}});
    report_backoff_.Failed(now);
    // A server that has too much to do says when to come again.
    if (const auto delay = rpc::RetryDelayOf(outcome.status())) {
      report_backoff_.NotBefore(now + std::min(*delay, kLongestDelay) + Jitter(absl::Seconds(1)));
    }
    return;
  }
  report_backoff_.Succeeded();
  report_due_ = false;
  look_due_ = true;
  // Not all homes at one time of the day: the server spreads them, and knows how often it wants to hear.
  const auto& told = outcome->response.next_report_delay();
  const absl::Duration delay = absl::Seconds(told.seconds()) + absl::Nanoseconds(told.nanos());
  next_report_ =
      now + (delay < absl::Seconds(1) ? Jitter(kReportInterval) : std::min(delay, kReportInterval));
  reported_.clear();
  for (const Socket& socket : outcome->survey.sockets) {
    reported_[socket.path] = socket.instance;
    calling_.erase(socket.path);
  }
  present_ = std::move(outcome->survey.components);
}

void Agent::CheckIn(absl::Time now) {
  rollout::v1::CheckInRequest request;
  request.set_director_targets_version(updater_.director_version());
  rpc::CallContext context(kCallTimeout);
  rollout::v1::CheckInResponse response;
  const absl::Status status =
      rpc::FromGrpc(RolloutService::NewStub(rollout_)->CheckIn(context.get(), request, &response));
  if (!status.ok()) {
    log::Warn("cannot check in", {{"error", status}});
    incidents_.NoteIfForged("rollout", status);
    look_backoff_.Failed(now);
    if (const auto delay = rpc::RetryDelayOf(status)) {
      look_backoff_.NotBefore(now + std::min(*delay, kLongestDelay) + Jitter(absl::Seconds(1)));
    }
    FinishCheck(status);
    return;
  }
  check_in_due_ = false;
  prompts_waiting_ = response.prompts_waiting();
  absl::Duration interval = options_.check_in_interval;
  if (const int64_t wanted = response.next_check_in().seconds(); wanted > 0) {
    interval = std::min(interval, absl::Seconds(wanted));
  }
  next_check_in_ = now + Jitter(interval);
  if (response.prompts_waiting()) log::Info("the user has something to answer", {{"command", "prompts"}});
  // Before the devices have been asked, everything would look as if it were for another home.
  const bool surveyed = next_report_ > absl::InfinitePast();
  const bool asked = !checks_.empty() || desk_.check_wanted();
  if (surveyed && (response.metadata_available() || look_due_ || asked)) {
    Look(now);
  } else {
    look_backoff_.Succeeded();
    if (asked) FinishCheck(absl::UnavailableError("the devices have not been asked yet"));
  }
}

void Agent::Look(absl::Time now) {
  const absl::Status status = updater_.Look(present_);
  // A gateway that nothing was ever rolled out to has no Director's metadata.
  if (status.ok() || absl::IsNotFound(status)) {
    look_due_ = false;
    look_backoff_.Succeeded();
    FinishCheck(absl::IsNotFound(status) ? absl::OkStatus() : updater_.verdict());
    return;
  }
  FinishCheck(status);
  log::Warn("cannot go on now", {{"error", status}});
  look_due_ = true;
  look_backoff_.Failed(now);
}

}  // namespace countersign::gateway
