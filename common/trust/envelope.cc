#include "common/trust/envelope.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/status/macros.h"
#include "common/trust/json_fields.h"
#include "common/trust/keys.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

using nlohmann::json;

namespace {

constexpr size_t kMaxSignatures = 64;
constexpr size_t kMaxSignatureDigits = 2048;  // RSA with 8,192 bits
constexpr char kTimeFormat[] = "%Y-%m-%dT%H:%M:%SZ";

absl::StatusOr<std::vector<Signature>> ReadSignatures(const json& array) {
  if (array.size() > kMaxSignatures) {
    return Refuse(kLimitExceeded, absl::StrCat("more than ", kMaxSignatures, " signatures"));
  }
  std::vector<Signature> signatures;
  signatures.reserve(array.size());
  for (const json& element : array) {
    JsonFields fields(element, "a signature");
    std::string key_id = fields.Sha256("keyid");
    const std::string hex = fields.String("sig", kMaxSignatureDigits);
    RETURN_IF_ERROR(fields.status());
    absl::StatusOr<std::string> bytes = crypto::HexDecode(hex);
    if (!bytes.ok())
      return Refuse(kMalformed, absl::StrCat("a signature's \"sig\": ", bytes.status().message()));
    if (std::any_of(signatures.begin(), signatures.end(),
                    [&](const Signature& s) { return s.key_id == key_id; })) {
      return Refuse(kMalformed, absl::StrCat("key ", key_id, " signs twice"));
    }
    signatures.push_back({std::move(key_id), *std::move(bytes)});
  }
  return signatures;
}

}  // namespace

absl::StatusOr<Envelope> Envelope::Take(json document) {
  JsonFields fields(document, "the document");
  const json& signatures = fields.Array("signatures");
  JsonFields content(fields.Object("signed"), "\"signed\"");
  Envelope envelope;
  envelope.type_ = content.NonEmptyString("_type");
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(content.status());
  ASSIGN_OR_RETURN(envelope.signatures_, ReadSignatures(signatures));
  envelope.content_ = std::make_shared<const json>(std::move(document["signed"]));
  envelope.canonical_ = CanonicalJson(*envelope.content_);
  return envelope;
}

absl::StatusOr<Envelope> Envelope::Parse(absl::string_view bytes, const JsonLimits& limits) {
  ASSIGN_OR_RETURN(json document, ParseStrictJson(bytes, limits));
  return Take(std::move(document));
}

absl::StatusOr<Envelope> Envelope::FromJson(const json& document) { return Take(document); }

Envelope Envelope::Unsigned(json content) {
  Envelope envelope;
  envelope.type_ = content.value("_type", "");
  envelope.content_ = std::make_shared<const json>(std::move(content));
  envelope.canonical_ = CanonicalJson(*envelope.content_);
  return envelope;
}

absl::Status Envelope::Sign(const crypto::Signer& signer) {
  RETURN_IF_ERROR(CheckStrict(*content_));
  ASSIGN_OR_RETURN(std::string bytes, signer.Sign(canonical_));
  AddSignature({KeyId(signer.public_key()), std::move(bytes)});
  return absl::OkStatus();
}

void Envelope::AddSignature(Signature signature) {
  for (Signature& existing : signatures_) {
    if (existing.key_id == signature.key_id) {
      existing = std::move(signature);
      return;
    }
  }
  signatures_.push_back(std::move(signature));
}

absl::Status Envelope::VerifyBy(absl::string_view key_id, const crypto::PublicKey& key) const {
  for (const Signature& signature : signatures_) {
    if (signature.key_id == key_id) return key.Verify(canonical_, signature.bytes);
  }
  return Refuse(kUnknownKey, absl::StrCat("the ", type_, " is not signed by key ", key_id));
}

absl::Status Envelope::VerifyBy(const crypto::PublicKey& key) const { return VerifyBy(KeyId(key), key); }

json Envelope::ToJson() const {
  json signatures = json::array();
  for (const Signature& signature : signatures_) {
    signatures.push_back({{"keyid", signature.key_id}, {"sig", crypto::HexEncode(signature.bytes)}});
  }
  return {{"signatures", std::move(signatures)}, {"signed", *content_}};
}

std::string Envelope::Serialise() const { return CompactJson(ToJson()); }

std::string FormatUtc(absl::Time time) { return absl::FormatTime(kTimeFormat, time, absl::UTCTimeZone()); }

absl::StatusOr<absl::Time> ParseUtc(absl::string_view text) {
  absl::Time time;
  // Abseil forgives spaces, signs and missing zeros, which writing it again does not; and it knows infinite
  // times, which would be a document that never expires.
  constexpr size_t kSize = sizeof("2026-01-01T00:00:00Z") - 1;
  if (text.size() != kSize || !absl::ParseTime(kTimeFormat, text, absl::UTCTimeZone(), &time, nullptr) ||
      FormatUtc(time) != text) {
    return Refuse(kMalformed, "not a time like 2026-01-01T00:00:00Z");
  }
  return time;
}

}  // namespace countersign::trust
