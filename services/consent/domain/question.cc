#include "services/consent/domain/question.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::consent {
namespace {

using S = QuestionState;
using E = QuestionEvent;

bool IsAnswer(E event) {
  return event == E::kUserGrants || event == E::kUserDenies || event == E::kUserDefers;
}

absl::Status Impossible(S state, E event) {
  const auto refuse = [](absl::string_view reason, absl::string_view message) {
    return Error(absl::StatusCode::kFailedPrecondition, reason, message);
  };
  if (event == E::kWithdrawn) {
    return refuse("NOT_GRANTED",
                  absl::StrCat("Only a grant can be withdrawn; this decision is ", StateName(state), "."));
  }
  if (IsAnswer(event) && state == S::kClosed) {
    return refuse("PROMPT_EXPIRED", "The question is closed and needs no answer any more.");
  }
  if (IsAnswer(event)) {
    return refuse("PROMPT_ANSWERED", absl::StrCat("The question is answered already (", StateName(state),
                                                  "); to take a grant back, withdraw its record."));
  }
  return refuse("WRONG_STATE",
                absl::StrCat("That cannot happen to a question that is ", StateName(state), "."));
}

}  // namespace

absl::string_view KindName(UpdateKind kind) {
  switch (kind) {
    case UpdateKind::kSecurity:
      return "SECURITY";
    case UpdateKind::kFunctionality:
      return "FUNCTIONALITY";
    case UpdateKind::kMixed:
      return "MIXED";
  }
  return "";
}

absl::string_view CriticalityName(Criticality criticality) {
  switch (criticality) {
    case Criticality::kLow:
      return "LOW";
    case Criticality::kMedium:
      return "MEDIUM";
    case Criticality::kHigh:
      return "HIGH";
    case Criticality::kCritical:
      return "CRITICAL";
  }
  return "";
}

absl::string_view StateName(QuestionState state) {
  switch (state) {
    case S::kWaiting:
      return "WAITING";
    case S::kDeferred:
      return "DEFERRED";
    case S::kGranted:
      return "GRANTED";
    case S::kDenied:
      return "DENIED";
    case S::kWithdrawn:
      return "WITHDRAWN";
    case S::kExpired:
      return "EXPIRED";
    case S::kClosed:
      return "CLOSED";
  }
  return "";
}

absl::StatusOr<QuestionState> Next(QuestionState state, QuestionEvent event) {
  switch (event) {
    case E::kAskedAgain:
      if (state == S::kClosed) return S::kWaiting;
      break;
    case E::kPolicyGrants:
      if (state == S::kWaiting || state == S::kDeferred || state == S::kClosed) return S::kGranted;
      break;
    case E::kUserGrants:
      if (state == S::kWaiting) return S::kGranted;
      break;
    case E::kUserDenies:
      if (state == S::kWaiting) return S::kDenied;
      break;
    case E::kUserDefers:
      if (state == S::kWaiting) return S::kDeferred;
      break;
    case E::kDeferralEnds:
      if (state == S::kDeferred) return S::kWaiting;
      break;
    case E::kWithdrawn:
      if (state == S::kGranted) return S::kWithdrawn;
      break;
    case E::kValidityEnds:
      if (state == S::kGranted) return S::kExpired;
      break;
    case E::kOvertaken:
      if (state == S::kWaiting || state == S::kDeferred) return S::kClosed;
      break;
  }
  return Impossible(state, event);
}

absl::Duration DeferralLimits::For(Criticality criticality) const {
  switch (criticality) {
    case Criticality::kLow:
      return low;
    case Criticality::kMedium:
      return medium;
    case Criticality::kHigh:
      return high;
    case Criticality::kCritical:
      return critical;
  }
  return absl::ZeroDuration();
}

}  // namespace countersign::consent
