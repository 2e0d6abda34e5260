#include "services/consent/domain/answer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::consent {
namespace {

absl::Status Invalid(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckText(const Question& question, const Answer& answer) {
  const bool shown =
      std::any_of(question.notices.begin(), question.notices.end(), [&](const NoticeDigest& notice) {
        return notice.language == answer.language && notice.text_sha256 == answer.text_sha256;
      });
  if (shown) return absl::OkStatus();
  return Invalid(
      "TEXT_DIFFERS",
      absl::StrCat("text_sha256 is not that of the question's notice in language \"", answer.language,
                   "\": show the notice as it is, and send the digest of what was shown."));
}

absl::Status CheckDeferral(const AskedQuestion& asked, const Answer& answer, absl::Time now) {
  if (!answer.deferred_until) {
    return Invalid("DEFERRAL_TOO_LONG", "DEFERRED needs deferred_until_time.");
  }
  if (*answer.deferred_until <= now) {
    return Invalid("DEFERRAL_TOO_LONG", "deferred_until_time must be in the future.");
  }
  if (asked.latest_deferral && *answer.deferred_until <= *asked.latest_deferral) return absl::OkStatus();
  return Invalid(
      "DEFERRAL_TOO_LONG",
      asked.latest_deferral && *asked.latest_deferral > now
          ? absl::StrCat("This update can be put off to ",
                         absl::FormatTime(absl::RFC3339_sec, *asked.latest_deferral, absl::UTCTimeZone()),
                         " at the latest.")
          : std::string("This update cannot be put off any longer: grant or deny it."));
}

}  // namespace

absl::StatusOr<DecisionMade> Decide(const AskedQuestion& asked, const Answer& answer,
                                    absl::Duration grant_validity, absl::Time now) {
  ASSIGN_OR_RETURN(const QuestionState next, Next(asked.state, answer.event));
  RETURN_IF_ERROR(CheckText(asked.question, answer));
  if (next == QuestionState::kGranted && answer.accepted_terms_sha256 != asked.question.terms_sha256) {
    return Invalid("TERMS_NOT_ACCEPTED",
                   asked.question.terms_sha256.empty()
                       ? std::string("The release has no terms of use to accept.")
                       : absl::StrCat("To grant this update its terms of use, of SHA-256 ",
                                      asked.question.terms_sha256, ", must be accepted."));
  }
  if (next == QuestionState::kDeferred) RETURN_IF_ERROR(CheckDeferral(asked, answer, now));

  absl::Time valid_until = now;
  if (next == QuestionState::kGranted) valid_until = now + grant_validity;
  if (next == QuestionState::kDeferred) valid_until = *answer.deferred_until;
  return DecisionMade{.decision = next,
                      .principal_id = answer.principal_id,
                      .policy_id = "",
                      .text_sha256 = answer.text_sha256,
                      .decided_at = now,
                      .valid_until = valid_until,
                      .signed_record = ""};
}

}  // namespace countersign::consent
