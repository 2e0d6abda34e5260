#include "tools/gateway/agent.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
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

Agent::Agent(AgentOptions options, std::shared_ptr<grpc::Channel> rollout, Reporter* reporter,
             Updater* updater)
    : options_(std::move(options)),
      rollout_(std::move(rollout)),
      reporter_(*reporter),
      updater_(*updater),
      next_report_(absl::InfinitePast()),
      next_check_in_(absl::InfinitePast()),
      report_backoff_(kFirstRetry, kLongestRetry),
      look_backoff_(kFirstRetry, kLongestRetry),
      settle_backoff_(kFirstRetry, kLongestRetry) {}

void Agent::Run() {
  std::thread hints([this] { FollowHints(); });
  while (true) {
    Tick(SystemClock().Now());
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&hinted_), kTick);
    if (std::exchange(hinted_, false)) check_in_due_ = true;
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
      log::Info("hinted", {{"subject", StreamHintsResponse::Subject_Name(hint.subject())}});
      absl::MutexLock lock(&mutex_);
      hinted_ = true;
    }
    const absl::Status status = rpc::FromGrpc(reader->Finish());
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
  if (updater_.TakeChanged() || DevicesChanged(*sockets, now) || now >= next_report_) report_due_ = true;
  if (report_due_ && report_backoff_.due(now)) Report(*sockets, now);
  if ((check_in_due_ || look_due_ || now >= next_check_in_) && look_backoff_.due(now)) CheckIn(now);
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
    if (DeviceLink(socket).GetDescription().ok()) changed = true;
    calling->second.backoff.Failed(now);
  }
  return changed;
}

void Agent::Report(const std::vector<Socket>& sockets, absl::Time now) {
  absl::StatusOr<ReportOutcome> outcome = reporter_.Report(sockets);
  if (!outcome.ok()) {
    log::Warn("manifest not taken", {{"error", outcome.status()}});
    report_backoff_.Failed(now);
    return;
  }
  report_backoff_.Succeeded();
  report_due_ = false;
  look_due_ = true;
  next_report_ = now + kReportInterval;
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
    look_backoff_.Failed(now);
    return;
  }
  check_in_due_ = false;
  absl::Duration interval = options_.check_in_interval;
  if (const int64_t wanted = response.next_check_in().seconds(); wanted > 0) {
    interval = std::min(interval, absl::Seconds(wanted));
  }
  next_check_in_ = now + Jitter(interval);
  if (response.prompts_waiting()) log::Info("the user has something to answer", {{"command", "prompts"}});
  // Before the devices have been asked, everything would look as if it were for another home.
  const bool surveyed = next_report_ > absl::InfinitePast();
  if (surveyed && (response.metadata_available() || look_due_)) {
    Look(now);
  } else {
    look_backoff_.Succeeded();
  }
}

void Agent::Look(absl::Time now) {
  const absl::Status status = updater_.Look(present_);
  // A gateway that nothing was ever rolled out to has no Director's metadata.
  if (status.ok() || absl::IsNotFound(status)) {
    look_due_ = false;
    look_backoff_.Succeeded();
    return;
  }
  log::Warn("cannot go on now", {{"error", status}});
  look_due_ = true;
  look_backoff_.Failed(now);
}

}  // namespace countersign::gateway
