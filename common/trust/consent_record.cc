#include "common/trust/consent_record.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/status/macros.h"
#include "common/trust/json_fields.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

using nlohmann::json;

namespace {

constexpr const char* kScopeNames[] = {"ONE_UPDATE", "DEVICE", "KIND"};
constexpr const char* kDecisionNames[] = {"GRANTED", "DENIED", "DEFERRED", "WITHDRAWN", "EXPIRED"};

std::string OptionalSha256(JsonFields& fields, const char* key) {
  return fields.String(key).empty() ? "" : fields.Sha256(key);
}

bool Covers(const ConsentRecord& record, const ConsentQuestion& question) {
  if (record.gateway_id != question.gateway_id) return false;
  switch (record.scope) {
    case ConsentRecord::Scope::kOneUpdate:
      return record.ecu_serial == question.ecu_serial && record.target_path == question.target_path &&
             record.image_sha256 == question.image_sha256;
    case ConsentRecord::Scope::kDevice:
      return record.ecu_serial == question.ecu_serial && record.kind == question.kind;
    case ConsentRecord::Scope::kKind:
      return record.kind == question.kind;
  }
  return false;
}

}  // namespace

std::string NoticeTextSha256(absl::string_view purpose, absl::string_view changes,
                             int64_t install_duration_seconds, absl::string_view unavailable_functions,
                             absl::string_view instructions) {
  return crypto::Sha256Hex(absl::StrCat(purpose, "\n", changes, "\n", install_duration_seconds, "\n",
                                        unavailable_functions, "\n", instructions));
}

absl::string_view ScopeName(ConsentRecord::Scope scope) { return kScopeNames[static_cast<int>(scope)]; }

absl::string_view DecisionName(ConsentRecord::Decision decision) {
  return kDecisionNames[static_cast<int>(decision)];
}

absl::StatusOr<ConsentRecord::Scope> ParseScope(absl::string_view name) {
  for (size_t i = 0; i < std::size(kScopeNames); ++i) {
    if (name == kScopeNames[i]) return static_cast<ConsentRecord::Scope>(i);
  }
  return Refuse(kMalformed, "a consent's scope is ONE_UPDATE, DEVICE or KIND");
}

absl::StatusOr<ConsentRecord::Decision> ParseDecision(absl::string_view name) {
  for (size_t i = 0; i < std::size(kDecisionNames); ++i) {
    if (name == kDecisionNames[i]) return static_cast<ConsentRecord::Decision>(i);
  }
  return Refuse(kMalformed, "a consent's decision is GRANTED, DENIED, DEFERRED, WITHDRAWN or EXPIRED");
}

absl::StatusOr<ConsentRecord> ConsentRecord::Parse(const Envelope& envelope) {
  JsonFields fields(envelope.content(), "the consent record");
  if (envelope.type() != kType) fields.Fail(absl::StrCat("is of type ", envelope.type()));
  ConsentRecord record;
  record.record_id = fields.NonEmptyString("record_id");
  record.principal_id = fields.NonEmptyString("principal_id");
  record.gateway_id = fields.NonEmptyString("gateway_id");
  record.ecu_serial = fields.String("ecu_serial");
  const absl::StatusOr<Scope> scope = ParseScope(fields.String("scope"));
  const absl::StatusOr<Decision> decision = ParseDecision(fields.String("decision"));
  record.kind = fields.NonEmptyString("kind");
  record.image_sha256 = OptionalSha256(fields, "image_sha256");
  record.target_path = fields.String("target_path", 512);
  record.from_version = fields.String("from_version");
  record.to_version = fields.String("to_version");
  record.criticality = fields.String("criticality");
  record.terms_sha256 = OptionalSha256(fields, "terms_sha256");
  record.text_sha256 = OptionalSha256(fields, "text_sha256");
  record.valid_from = fields.Time("valid_from");
  record.valid_until = fields.Time("valid_until");
  fields.Merge(scope.status());
  fields.Merge(decision.status());
  RETURN_IF_ERROR(fields.status());
  record.scope = *scope;
  record.decision = *decision;
  if (record.scope == Scope::kOneUpdate && (record.image_sha256.empty() || record.target_path.empty())) {
    return Refuse(kMalformed, "a consent to one update names its image and its target path");
  }
  if (record.scope != Scope::kKind && record.ecu_serial.empty()) {
    return Refuse(kMalformed, "a consent for a component names it");
  }
  return record;
}

Envelope ConsentRecord::ToEnvelope() const {
  return Envelope::Unsigned({{"_type", kType},
                             {"record_id", record_id},
                             {"principal_id", principal_id},
                             {"gateway_id", gateway_id},
                             {"ecu_serial", ecu_serial},
                             {"scope", std::string(ScopeName(scope))},
                             {"decision", std::string(DecisionName(decision))},
                             {"kind", kind},
                             {"image_sha256", image_sha256},
                             {"target_path", target_path},
                             {"from_version", from_version},
                             {"to_version", to_version},
                             {"criticality", criticality},
                             {"terms_sha256", terms_sha256},
                             {"text_sha256", text_sha256},
                             {"valid_from", FormatUtc(valid_from)},
                             {"valid_until", FormatUtc(valid_until)}});
}

absl::StatusOr<ConsentRecord> VerifyConsent(const Envelope& envelope, const crypto::PublicKey& key,
                                            const ConsentQuestion& question, absl::Time now) {
  RETURN_IF_ERROR(envelope.VerifyBy(key));
  ASSIGN_OR_RETURN(ConsentRecord record, ConsentRecord::Parse(envelope));
  if (record.decision != ConsentRecord::Decision::kGranted) {
    return Refuse(kNoConsent,
                  absl::StrCat("consent ", record.record_id, " is ", DecisionName(record.decision)));
  }
  if (!Covers(record, question)) {
    return Refuse(kConsentMismatch, absl::StrCat("consent ", record.record_id, " (", ScopeName(record.scope),
                                                 ") does not cover ", question.target_path, " on component ",
                                                 question.ecu_serial));
  }
  if (now < record.valid_from || now >= record.valid_until) {
    return Refuse(kConsentExpired,
                  absl::StrCat("consent ", record.record_id, " holds from ", FormatUtc(record.valid_from),
                               " to ", FormatUtc(record.valid_until), "; it is ", FormatUtc(now)));
  }
  return record;
}

}  // namespace countersign::trust
