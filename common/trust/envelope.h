#ifndef COUNTERSIGN_COMMON_TRUST_ENVELOPE_H_
#define COUNTERSIGN_COMMON_TRUST_ENVELOPE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"
#include "common/trust/canonical_json.h"
#include "common/trust/flat_json.h"

namespace countersign::trust {

struct Signature {
  std::string key_id;
  std::string bytes;  // raw
};

// {"signatures": [{"keyid", "sig"}], "signed": {"_type", ...}}: TUF's envelope (TUF 4.2.1), which this
// product also uses for version reports, gateway manifests and consent records. What it holds is not trusted
// until one of the Verify functions says so. A value; thread-compatible.
class Envelope {
 public:
  // INVALID_ARGUMENT (MALFORMED_METADATA) if it is not such an object, a signature is not hex, a key id is no
  // SHA-256 or signs twice; RESOURCE_EXHAUSTED beyond `limits` or 64 signatures.
  static absl::StatusOr<Envelope> Parse(absl::string_view bytes, const JsonLimits& limits = {});

  // The same of a part of a document that ParseStrictJson() has read.
  static absl::StatusOr<Envelope> FromJson(const nlohmann::json& json);
  // The same of a part of a document that was read flat.
  static absl::StatusOr<Envelope> FromFlat(const std::shared_ptr<const FlatJson>& document,
                                           const FlatJson::Value& value);

  // An envelope without signatures. `content` is an object with a string "_type".
  static Envelope Unsigned(nlohmann::json content);

  // signed._type: "root", "timestamp", "snapshot", "targets", "version-report", ...
  const std::string& type() const { return type_; }
  // What `signed` holds. Thread-safe as the other const methods are, though an envelope that was read flat
  // makes it when it is first asked for.
  const nlohmann::json& content() const;
  // The same, if the envelope came exactly as it is signed; whoever reads many looks here first.
  const std::optional<FlatJson::Value>& flat() const { return flat_; }
  // The bytes that the signatures are over.
  const std::string& canonical() const { return canonical_; }
  const std::vector<Signature>& signatures() const { return signatures_; }

  // Signs with `signer`; replaces a signature of the same key. INVALID_ARGUMENT (MALFORMED_METADATA) for
  // content that no reader would accept (see CheckStrict); the signer's errors.
  absl::Status Sign(const crypto::Signer& signer);
  // Adds a signature made elsewhere; replaces one of the same key. Does not verify.
  void AddSignature(Signature signature);

  // The first signature of key id `key_id`, verified with `key`. SIGNATURE_INVALID; UNKNOWN_KEY if that key
  // has not signed.
  absl::Status VerifyBy(absl::string_view key_id, const crypto::PublicKey& key) const;
  absl::Status VerifyBy(const crypto::PublicKey& key) const;

  // The document that flat() is a part of; null if that is nullopt.
  const std::shared_ptr<const FlatJson>& document() const { return document_; }

  // The document as it is served and hashed.
  std::string Serialise() const;
  nlohmann::json ToJson() const;

 private:
  Envelope() = default;
  static absl::StatusOr<Envelope> Take(nlohmann::json document);
  static std::optional<Envelope> TakeFlat(const std::shared_ptr<const FlatJson>& document,
                                          const FlatJson::Value& value);

  struct Content;
  std::shared_ptr<Content> content_;
  std::shared_ptr<const FlatJson> document_;  // that `flat_` is a part of
  std::optional<FlatJson::Value> flat_;
  std::string type_;
  std::string canonical_;
  std::vector<Signature> signatures_;
};

// "2026-01-01T00:00:00Z", seconds, UTC: the only form of time in signed documents.
std::string FormatUtc(absl::Time time);
// INVALID_ARGUMENT (MALFORMED_METADATA) unless exactly of that form.
absl::StatusOr<absl::Time> ParseUtc(absl::string_view text);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_ENVELOPE_H_
