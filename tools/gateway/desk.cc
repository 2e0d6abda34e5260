#include "tools/gateway/desk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::gateway {
namespace {

constexpr size_t kMaxPrincipal = 128;

}  // namespace

absl::StatusOr<CheckOutcome> Desk::Check(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const int64_t mine = ++wanted_;
  const auto done = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_ >= mine; };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&done), timeout)) {
    return Error(absl::StatusCode::kDeadlineExceeded, "AGENT_BUSY",
                 "the agent is busy with an update, and looks for others afterwards");
  }
  return *outcome_;
}

std::optional<CheckOutcome> Desk::last_check() const {
  absl::MutexLock lock(&mutex_);
  return outcome_;
}

std::vector<Confirmation> Desk::confirmations() const {
  absl::MutexLock lock(&mutex_);
  return confirmations_;
}

absl::Status Desk::Confirm(const ConfirmationAnswer& answer) {
  if (answer.principal_id.empty() || answer.principal_id.size() > kMaxPrincipal) {
    return Error(absl::StatusCode::kInvalidArgument, "PRINCIPAL_MISSING",
                 "say who answers, in 1 to 128 characters");
  }
  absl::MutexLock lock(&mutex_);
  const auto waits = std::find_if(confirmations_.begin(), confirmations_.end(), [&](const Confirmation& one) {
    return one.ecu_serial == answer.ecu_serial && one.sha256 == answer.sha256;
  });
  if (waits == confirmations_.end()) {
    return Error(absl::StatusCode::kNotFound, "CONFIRMATION_UNKNOWN",
                 absl::StrCat("no image ", answer.sha256, " waits for a confirmation on component ",
                              answer.ecu_serial));
  }
  // Whoever answers twice has changed their mind before it was too late, or has not: the first word counts.
  confirmations_.erase(waits);
  answers_.push_back(answer);
  return absl::OkStatus();
}

std::vector<ComponentProgress> Desk::progress() const {
  absl::MutexLock lock(&mutex_);
  return progress_;
}

bool Desk::check_wanted() const {
  absl::MutexLock lock(&mutex_);
  return wanted_ > done_;
}

void Desk::Checked(CheckOutcome outcome) {
  absl::MutexLock lock(&mutex_);
  outcome_ = std::move(outcome);
  done_ = wanted_;
}

void Desk::Show(std::vector<Confirmation> confirmations, std::vector<ComponentProgress> progress) {
  absl::MutexLock lock(&mutex_);
  confirmations_ = std::move(confirmations);
  progress_ = std::move(progress);
}

std::deque<ConfirmationAnswer> Desk::TakeAnswers() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(answers_, {});
}

}  // namespace countersign::gateway
