#include "common/trust/envelope.h"

#include <algorithm>
#include <utility>

#include "absl/base/call_once.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/status/macros.h"
#include "common/trust/flat_fields.h"
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

bool HasSigned(const std::vector<Signature>& signatures, absl::string_view key_id) {
  return std::any_of(signatures.begin(), signatures.end(),
                     [key_id](const Signature& signature) { return signature.key_id == key_id; });
}

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
    if (HasSigned(signatures, key_id)) {
      return Refuse(kMalformed, absl::StrCat("key ", key_id, " signs twice"));
    }
    signatures.push_back({std::move(key_id), *std::move(bytes)});
  }
  return signatures;
}

}  // namespace

// What `signed` holds, or nothing yet when the envelope was read flat.
struct Envelope::Content {
  Content() = default;
  explicit Content(json known) : value(std::move(known)) {}
  absl::once_flag once;
  json value;
};

absl::StatusOr<Envelope> Envelope::Take(json document) {
  JsonFields fields(document, "the document");
  const json& signatures = fields.Array("signatures");
  JsonFields content(fields.Object("signed"), "\"signed\"");
  Envelope envelope;
  envelope.type_ = content.NonEmptyString("_type");
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(content.status());
  ASSIGN_OR_RETURN(envelope.signatures_, ReadSignatures(signatures));
  envelope.content_ = std::make_shared<Content>(std::move(document["signed"]));
  envelope.canonical_ = CanonicalJson(envelope.content_->value);
  return envelope;
}

const json& Envelope::content() const {
  absl::call_once(content_->once, [this] {
    // What was read flat is read once more, and cannot be wrong.
    if (flat_.has_value()) content_->value = ParseStrictJson(canonical_).value_or(json::object());
  });
  return content_->value;
}

// Only what is wholly as it should be; what is not is for Take(), which says what is wrong.
std::optional<Envelope> Envelope::TakeFlat(const std::shared_ptr<const FlatJson>& document,
                                           const FlatJson::Value& value) {
  const std::optional<FlatJson::Value> signatures = value.Find("signatures");
  const std::optional<FlatJson::Value> content = value.Find("signed");
  if (!signatures.has_value() || !signatures->is_array() || !content.has_value() || !content->is_object()) {
    return std::nullopt;
  }
  Envelope envelope;
  FlatFields fields(*content);
  envelope.type_ = fields.NonEmptyString("_type");
  if (!fields.ok()) return std::nullopt;
  for (const FlatJson::Value& element : signatures->children()) {
    FlatFields signature(element);
    std::string key_id = signature.Sha256("keyid");
    const absl::StatusOr<std::string> bytes = crypto::HexDecode(signature.String("sig", kMaxSignatureDigits));
    if (!signature.ok() || !bytes.ok() || envelope.signatures_.size() == kMaxSignatures ||
        HasSigned(envelope.signatures_, key_id)) {
      return std::nullopt;
    }
    envelope.signatures_.push_back({std::move(key_id), *bytes});
  }
  envelope.content_ = std::make_shared<Content>();
  envelope.canonical_ = std::string(content->raw());
  envelope.document_ = document;
  envelope.flat_ = content;
  return envelope;
}

absl::StatusOr<Envelope> Envelope::FromFlat(const std::shared_ptr<const FlatJson>& document,
                                            const FlatJson::Value& value) {
  if (std::optional<Envelope> envelope = TakeFlat(document, value)) return *std::move(envelope);
  ASSIGN_OR_RETURN(json parsed, ParseStrictJson(value.raw()));
  return Take(std::move(parsed));
}

absl::StatusOr<Envelope> Envelope::Parse(absl::string_view bytes, const JsonLimits& limits) {
  if (const std::shared_ptr<const FlatJson> flat = FlatJson::Read(bytes, limits); flat != nullptr) {
    if (std::optional<Envelope> envelope = TakeFlat(flat, flat->root())) return *std::move(envelope);
  }
  ASSIGN_OR_RETURN(json document, ParseStrictJson(bytes, limits));
  return Take(std::move(document));
}

absl::StatusOr<Envelope> Envelope::FromJson(const json& document) { return Take(document); }

Envelope Envelope::Unsigned(json content) {
  Envelope envelope;
  envelope.type_ = content.value("_type", "");
  envelope.content_ = std::make_shared<Content>(std::move(content));
  envelope.canonical_ = CanonicalJson(envelope.content_->value);
  return envelope;
}

absl::Status Envelope::Sign(const crypto::Signer& signer) {
  RETURN_IF_ERROR(CheckStrict(content()));
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
  return {{"signatures", std::move(signatures)}, {"signed", content()}};
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
