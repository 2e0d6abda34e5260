#include "common/trust/revocation.h"

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"
#include "common/trust/json_fields.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

using nlohmann::json;

namespace {

constexpr JsonLimits kLimits = {.max_bytes = 64 << 10, .max_depth = 8, .max_values = 64};

}  // namespace

absl::StatusOr<RevocationStatement> RevocationStatement::Parse(const DsseEnvelope& envelope) {
  if (envelope.payload_type != kInTotoPayloadType) {
    return Refuse(kMalformed, absl::StrCat("the payload type must be ", kInTotoPayloadType));
  }
  ASSIGN_OR_RETURN(const json document, ParseStrictJson(envelope.payload, kLimits));
  JsonFields fields(document, "the revocation statement");
  if (fields.String("_type") != kInTotoStatementType)
    fields.Fail(absl::StrCat("is not of type ", kInTotoStatementType));
  if (fields.String("predicateType") != kRevocationPredicateType) {
    fields.Fail(absl::StrCat("has a predicateType other than ", kRevocationPredicateType));
  }
  const json& subjects = fields.Array("subject");
  if (subjects.size() != 1) fields.Fail("must have one subject");
  RETURN_IF_ERROR(fields.status());
  JsonFields subject(subjects[0], "the revocation statement's subject");
  JsonFields digest(subject.Object("digest"), "the revocation statement's digest");
  JsonFields predicate(fields.Object("predicate"), "the revocation statement's predicate");
  RevocationStatement statement;
  statement.sha256 = digest.Sha256("sha256");
  statement.target_path = predicate.NonEmptyString("targetPath", 512);
  statement.role_version = predicate.Integer("roleVersion");
  statement.reason = predicate.NonEmptyString("reason", kMaxRevocationReason);
  statement.revoked_at = predicate.Time("revokedAt");
  for (const JsonFields* part : {&subject, &digest, &predicate}) fields.Merge(part->status());
  RETURN_IF_ERROR(fields.status());
  return statement;
}

DsseEnvelope RevocationStatement::ToEnvelope() const {
  const json document = {
      {"_type", kInTotoStatementType},
      {"predicateType", kRevocationPredicateType},
      {"subject", json::array({{{"name", target_path}, {"digest", {{"sha256", sha256}}}}})},
      {"predicate",
       {{"targetPath", target_path},
        {"roleVersion", role_version},
        {"reason", reason},
        {"revokedAt", FormatUtc(revoked_at)}}}};
  return {.payload_type = kInTotoPayloadType, .payload = CompactJson(document)};
}

}  // namespace countersign::trust
