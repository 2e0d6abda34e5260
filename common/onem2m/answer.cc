#include "common/onem2m/answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/base64.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/canonical_json.h"
#include "common/trust/envelope.h"
#include "common/trust/json_fields.h"
#include "nlohmann/json.hpp"

namespace countersign::onem2m {
namespace {

using nlohmann::json;

constexpr char kType[] = "app-id-answer";
constexpr trust::JsonLimits kLimits = {.max_bytes = 1 << 20, .max_depth = 8, .max_values = 4096};
constexpr size_t kMaxProfile = 512 << 10;
// How far the registry's clock may be ahead of the reader's.
constexpr absl::Duration kClockTolerance = absl::Minutes(5);

absl::StatusOr<Answer> Read(const trust::Envelope& envelope) {
  trust::JsonFields fields(envelope.content(), "the answer");
  if (envelope.type() != kType) fields.Fail(absl::StrCat("is not of type ", kType));
  Answer answer;
  answer.app_id = fields.NonEmptyString("app_id");
  answer.ae_id = fields.String("ae_id");
  answer.question_sha256 = fields.Sha256("question_sha256");
  answer.status = fields.NonEmptyString("status");
  const std::string profile = fields.String("profile", kMaxProfile);
  answer.profile_sha256 = fields.String("profile_sha256");
  answer.answer_time = fields.Time("answer_time");
  answer.expire_time = fields.Time("expires");
  for (const json& element : fields.Array("findings")) {
    trust::JsonFields finding(element, "a finding");
    answer.findings.push_back({finding.NonEmptyString("severity"), finding.NonEmptyString("reason"),
                               finding.String("message", 1024)});
    fields.Merge(finding.status());
  }
  const absl::StatusOr<std::string> decoded = crypto::Base64Decode(profile);
  if (!decoded.ok()) fields.Fail("has a \"profile\" that is not Base64");
  RETURN_IF_ERROR(fields.status());
  answer.profile = *decoded;
  return answer;
}

}  // namespace

std::string QuestionDigest(const Question& question) {
  return crypto::Sha256Hex(trust::CanonicalJson({
      {"app_id", question.app_id},
      {"ae_id", question.ae_id},
      {"root_of_trust_sha256", question.root_of_trust_sha256},
      {"certificates_sha256", question.certificates_sha256},
      {"public_key_sha256", question.public_key_sha256},
      {"pre_shared_key", question.pre_shared_key},
      {"application_class", question.application_class},
      {"communications_class", question.communications_class},
      {"data_model", question.data_model},
      {"credential_protection", question.credential_protection},
      {"credential_protection_attested", question.credential_protection_attested},
  }));
}

absl::StatusOr<std::string> SignAnswer(const Answer& answer, const crypto::Signer& signer) {
  json findings = json::array();
  for (const AnswerFinding& finding : answer.findings) {
    findings.push_back(
        {{"severity", finding.severity}, {"reason", finding.reason}, {"message", finding.message}});
  }
  trust::Envelope envelope = trust::Envelope::Unsigned({
      {"_type", kType},
      {"app_id", answer.app_id},
      {"ae_id", answer.ae_id},
      {"question_sha256", answer.question_sha256},
      {"status", answer.status},
      {"profile", crypto::Base64Encode(answer.profile)},
      {"profile_sha256", answer.profile_sha256},
      {"findings", std::move(findings)},
      {"answer_time", trust::FormatUtc(answer.answer_time)},
      {"expires", trust::FormatUtc(answer.expire_time)},
  });
  RETURN_IF_ERROR(envelope.Sign(signer));
  return envelope.Serialise();
}

absl::StatusOr<Answer> VerifyAnswer(absl::string_view document, const crypto::PublicKey& key,
                                    absl::string_view question_sha256, absl::Time now) {
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(document, kLimits));
  RETURN_IF_ERROR(envelope.VerifyBy(key));
  ASSIGN_OR_RETURN(Answer answer, Read(envelope));
  if (answer.question_sha256 != question_sha256) {
    return Error(absl::StatusCode::kFailedPrecondition, "ANSWER_OF_ANOTHER",
                 "the answer is the registry's, to another question");
  }
  if (now >= answer.expire_time || answer.answer_time > now + kClockTolerance) {
    return Error(absl::StatusCode::kFailedPrecondition, "ANSWER_EXPIRED",
                 absl::StrCat("the answer is in force from ", trust::FormatUtc(answer.answer_time), " to ",
                              trust::FormatUtc(answer.expire_time)));
  }
  return answer;
}

}  // namespace countersign::onem2m
