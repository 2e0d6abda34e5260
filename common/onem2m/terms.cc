#include "common/onem2m/terms.h"

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"
#include "common/trust/json_fields.h"
#include "nlohmann/json.hpp"

namespace countersign::onem2m {
namespace {

constexpr char kType[] = "app-id-terms";

}  // namespace

absl::StatusOr<Terms> Terms::Parse(const trust::Envelope& envelope) {
  trust::JsonFields fields(envelope.content(), "the signed terms");
  if (envelope.type() != kType) fields.Fail(absl::StrCat("are not of type ", kType));
  Terms terms;
  terms.app_id = fields.NonEmptyString("app_id");
  terms.registrant = fields.NonEmptyString("registrant");
  terms.terms_id = fields.NonEmptyString("terms_id");
  terms.terms_version = fields.NonEmptyString("terms_version");
  terms.terms_sha256 = fields.Sha256("terms_sha256");
  terms.signed_at = fields.Time("signed_at");
  RETURN_IF_ERROR(fields.status());
  return terms;
}

trust::Envelope Terms::ToEnvelope() const {
  return trust::Envelope::Unsigned({{"_type", kType},
                                    {"app_id", app_id},
                                    {"registrant", registrant},
                                    {"terms_id", terms_id},
                                    {"terms_version", terms_version},
                                    {"terms_sha256", terms_sha256},
                                    {"signed_at", trust::FormatUtc(signed_at)}});
}

}  // namespace countersign::onem2m
