#include "services/appid_registry/domain/registrant.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/public_key.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"

namespace countersign::appid_registry::domain {
namespace {

constexpr trust::JsonLimits kLimits = {.max_bytes = onem2m::kMaxTermsBytes, .max_depth = 6, .max_values = 64};
// How far the registrant's clock may be ahead of the registry's.
constexpr absl::Duration kClockTolerance = absl::Minutes(5);

absl::Status Invalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "REGISTRANT_INVALID", message);
}

absl::Status TermsInvalid(absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "TERMS_INVALID", absl::StrCat("signed_terms: ", why));
}

}  // namespace

bool IsRegistrantId(absl::string_view id) {
  const auto alphanumeric = [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) ||
           absl::ascii_isdigit(static_cast<unsigned char>(c));
  };
  return !id.empty() && id.size() <= 63 && alphanumeric(id.front()) && alphanumeric(id.back()) &&
         std::all_of(id.begin(), id.end(), [&](char c) { return alphanumeric(c) || c == '.' || c == '-'; });
}

absl::Status CheckRegistrant(const Registrant& registrant) {
  if (!IsRegistrantId(registrant.id)) {
    return Invalid("name: must be registrants/{id}, the id 1 to 63 lower-case letters, digits, - and .");
  }
  const std::string& name = registrant.display_name;
  if (name.empty() || name.size() > 128 || std::any_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_iscntrl(static_cast<unsigned char>(c));
      })) {
    return Invalid("display_name: must have 1 to 128 characters, without control characters.");
  }
  return Annotate(crypto::PublicKey::FromPem(registrant.public_key_pem).status(), "public_key_pem");
}

absl::StatusOr<onem2m::Terms> ReadTerms(absl::string_view document) {
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(document, kLimits);
  if (!envelope.ok()) return TermsInvalid(envelope.status().message());
  absl::StatusOr<onem2m::Terms> terms = onem2m::Terms::Parse(*envelope);
  if (!terms.ok()) return TermsInvalid(terms.status().message());
  return terms;
}

absl::Status VerifyTerms(absl::string_view document, const Registrant& registrant, absl::string_view app_id,
                         absl::Time now) {
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(document, kLimits);
  if (!envelope.ok()) return TermsInvalid(envelope.status().message());
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromPem(registrant.public_key_pem));
  const absl::Status verified = envelope->VerifyBy(key);
  if (!verified.ok()) {
    return TermsInvalid(absl::StrCat("are not signed with the key of registrants/", registrant.id, ": ",
                                     verified.message(), "."));
  }
  ASSIGN_OR_RETURN(const onem2m::Terms terms, ReadTerms(document));
  if (terms.registrant != registrant.id) {
    return TermsInvalid(absl::StrCat("are those of registrants/", terms.registrant, "."));
  }
  if (terms.app_id != app_id) {
    return TermsInvalid(absl::StrCat("are about App-ID \"", terms.app_id,
                                     "\": each App-ID has terms of its own, signed for it."));
  }
  if (terms.signed_at > now + kClockTolerance) return TermsInvalid("were signed in the future.");
  return absl::OkStatus();
}

}  // namespace countersign::appid_registry::domain
