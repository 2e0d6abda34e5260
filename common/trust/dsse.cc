#include "common/trust/dsse.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/base64.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/json_fields.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

using nlohmann::json;

namespace {

constexpr size_t kMaxEnvelope = 64 << 10;
constexpr size_t kMaxSignatures = 16;
constexpr size_t kMaxHardwareIds = 256;
constexpr JsonLimits kLimits = {.max_bytes = kMaxEnvelope, .max_depth = 8, .max_values = 1024};

absl::StatusOr<std::string> ReadBase64(JsonFields& fields, const char* key) {
  const std::string text = fields.String(key, kMaxEnvelope);
  RETURN_IF_ERROR(fields.status());
  absl::StatusOr<std::string> bytes = crypto::Base64Decode(text);
  if (!bytes.ok())
    return Refuse(kMalformed, absl::StrCat("the DSSE envelope's \"", key, "\": ", bytes.status().message()));
  return bytes;
}

}  // namespace

absl::StatusOr<DsseEnvelope> DsseEnvelope::Parse(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const json document, ParseStrictJson(bytes, kLimits));
  JsonFields fields(document, "the DSSE envelope");
  DsseEnvelope envelope;
  envelope.payload_type = fields.NonEmptyString("payloadType");
  ASSIGN_OR_RETURN(envelope.payload, ReadBase64(fields, "payload"));
  const json& signatures = fields.Array("signatures");
  RETURN_IF_ERROR(fields.status());
  if (signatures.size() > kMaxSignatures)
    return Refuse(kLimitExceeded, absl::StrCat("more than ", kMaxSignatures, " signatures"));
  for (const json& element : signatures) {
    JsonFields signature(element, "a DSSE signature");
    std::string key_id = signature.Sha256("keyid");
    ASSIGN_OR_RETURN(std::string raw, ReadBase64(signature, "sig"));
    envelope.signatures.push_back({std::move(key_id), std::move(raw)});
  }
  return envelope;
}

std::string DsseEnvelope::Serialise() const {
  json list = json::array();
  for (const Signature& signature : signatures) {
    list.push_back({{"keyid", signature.key_id}, {"sig", crypto::Base64Encode(signature.bytes)}});
  }
  return CompactJson(
      {{"payload", crypto::Base64Encode(payload)}, {"payloadType", payload_type}, {"signatures", list}});
}

absl::Status DsseEnvelope::Sign(const crypto::Signer& signer) {
  ASSIGN_OR_RETURN(std::string bytes, signer.Sign(DssePreAuthEncoding(payload_type, payload)));
  std::string key_id = KeyId(signer.public_key());
  std::erase_if(signatures, [&key_id](const Signature& signature) { return signature.key_id == key_id; });
  signatures.push_back({std::move(key_id), std::move(bytes)});
  return absl::OkStatus();
}

std::string DssePreAuthEncoding(absl::string_view payload_type, absl::string_view payload) {
  return absl::StrCat("DSSEv1 ", payload_type.size(), " ", payload_type, " ", payload.size(), " ", payload);
}

absl::StatusOr<ApprovalStatement> ApprovalStatement::Parse(const DsseEnvelope& envelope) {
  if (envelope.payload_type != kInTotoPayloadType) {
    return Refuse(kMalformed, absl::StrCat("the payload type must be ", kInTotoPayloadType));
  }
  ASSIGN_OR_RETURN(const json document, ParseStrictJson(envelope.payload, kLimits));
  JsonFields fields(document, "the approval statement");
  if (fields.String("_type") != kInTotoStatementType)
    fields.Fail(absl::StrCat("is not of type ", kInTotoStatementType));
  if (fields.String("predicateType") != kApprovalPredicateType) {
    fields.Fail(absl::StrCat("has a predicateType other than ", kApprovalPredicateType));
  }
  const json& subjects = fields.Array("subject");
  if (subjects.size() != 1) fields.Fail("must have one subject");
  RETURN_IF_ERROR(fields.status());
  JsonFields subject(subjects[0], "the approval statement's subject");
  JsonFields digest(subject.Object("digest"), "the approval statement's digest");
  JsonFields predicate(fields.Object("predicate"), "the approval statement's predicate");
  ApprovalStatement statement;
  statement.sha256 = digest.Sha256("sha256");
  statement.target_path = predicate.NonEmptyString("targetPath", 512);
  statement.role_version = predicate.Integer("roleVersion");
  statement.hardware_ids = predicate.Strings("hardwareIds", kMaxHardwareIds);
  statement.release_counter = predicate.Integer("releaseCounter");
  statement.valid_from = predicate.Time("validFrom");
  statement.valid_until = predicate.Time("validUntil");
  for (const JsonFields* part : {&subject, &digest, &predicate}) fields.Merge(part->status());
  RETURN_IF_ERROR(fields.status());
  return statement;
}

DsseEnvelope ApprovalStatement::ToEnvelope() const {
  const json document = {
      {"_type", kInTotoStatementType},
      {"predicateType", kApprovalPredicateType},
      {"subject", json::array({{{"name", target_path}, {"digest", {{"sha256", sha256}}}}})},
      {"predicate",
       {{"targetPath", target_path},
        {"roleVersion", role_version},
        {"hardwareIds", hardware_ids},
        {"releaseCounter", release_counter},
        {"validFrom", FormatUtc(valid_from)},
        {"validUntil", FormatUtc(valid_until)}}}};
  return {.payload_type = kInTotoPayloadType, .payload = CompactJson(document)};
}

absl::string_view ApprovalResultName(ApprovalResult result) {
  switch (result) {
    case ApprovalResult::kApproved:
      return "APPROVED";
    case ApprovalResult::kNoStatement:
      return "NO_STATEMENT";
    case ApprovalResult::kBadSignature:
      return "BAD_SIGNATURE";
    case ApprovalResult::kDigestMismatch:
      return "DIGEST_MISMATCH";
    case ApprovalResult::kWrongTarget:
      return "WRONG_TARGET";
    case ApprovalResult::kExpired:
      return "EXPIRED";
    case ApprovalResult::kUnknownKey:
      return "UNKNOWN_KEY";
    case ApprovalResult::kCardAbsent:
      return "CARD_ABSENT";
    case ApprovalResult::kCardError:
      return "CARD_ERROR";
  }
  return "";
}

bool MustReject(ApprovalResult result) {
  return result == ApprovalResult::kBadSignature || result == ApprovalResult::kDigestMismatch;
}

namespace {

class KeyMapVerifier : public crypto::Verifier {
 public:
  explicit KeyMapVerifier(const KeyMap& keys) : keys_(keys) {}

  absl::Status Verify(absl::string_view key_id, absl::string_view message,
                      absl::string_view signature) const override {
    const auto key = keys_.find(std::string(key_id));
    if (key != keys_.end()) return key->second.Verify(message, signature);
    return Error(absl::StatusCode::kNotFound, crypto::kVerifierUnknownKey, "no such key");
  }

 private:
  const KeyMap& keys_;
};

// Approved if one of the signatures is good. One that is known and bad weighs more than a card that failed.
ApprovalResult CheckSignatures(const DsseEnvelope& envelope, const crypto::Verifier& verifier) {
  const std::string signed_bytes = DssePreAuthEncoding(envelope.payload_type, envelope.payload);
  ApprovalResult result = ApprovalResult::kUnknownKey;
  for (const Signature& signature : envelope.signatures) {
    const absl::Status status = verifier.Verify(signature.key_id, signed_bytes, signature.bytes);
    if (status.ok()) return ApprovalResult::kApproved;
    const std::string reason = ReasonOf(status);
    if (reason == crypto::kSignatureInvalid) {
      result = ApprovalResult::kBadSignature;
    } else if (reason != crypto::kVerifierUnknownKey && result == ApprovalResult::kUnknownKey) {
      result = reason == crypto::kVerifierAbsent ? ApprovalResult::kCardAbsent : ApprovalResult::kCardError;
    }
  }
  return result;
}

}  // namespace

ApprovalResult CheckApproval(absl::string_view statement_bytes, const KeyMap& authority_keys,
                             const ApprovalSubject& subject, absl::Time now) {
  return CheckApproval(statement_bytes, KeyMapVerifier(authority_keys), subject, now);
}

ApprovalResult CheckApproval(absl::string_view statement_bytes, const crypto::Verifier& verifier,
                             const ApprovalSubject& subject, absl::Time now) {
  if (statement_bytes.empty()) return ApprovalResult::kNoStatement;
  const absl::StatusOr<DsseEnvelope> envelope = DsseEnvelope::Parse(statement_bytes);
  if (!envelope.ok()) return ApprovalResult::kBadSignature;
  if (envelope->signatures.empty()) return ApprovalResult::kNoStatement;

  if (const ApprovalResult result = CheckSignatures(*envelope, verifier);
      result != ApprovalResult::kApproved) {
    return result;
  }

  // The authority's own words that cannot be read are no approval of anything.
  const absl::StatusOr<ApprovalStatement> statement = ApprovalStatement::Parse(*envelope);
  if (!statement.ok()) return ApprovalResult::kBadSignature;
  if (statement->sha256 != subject.sha256) return ApprovalResult::kDigestMismatch;
  const std::vector<std::string>& fits = statement->hardware_ids;
  if (statement->target_path != subject.target_path ||
      std::find(fits.begin(), fits.end(), subject.hardware_id) == fits.end() ||
      (subject.release_counter != 0 && statement->release_counter != subject.release_counter)) {
    return ApprovalResult::kWrongTarget;
  }
  if (now < statement->valid_from || now >= statement->valid_until) return ApprovalResult::kExpired;
  return ApprovalResult::kApproved;
}

}  // namespace countersign::trust
