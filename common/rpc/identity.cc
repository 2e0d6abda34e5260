#include "common/rpc/identity.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::rpc {
namespace {

constexpr size_t kMaxIdBytes = 63;
constexpr size_t kMaxTrustDomainBytes = 255;  // SPIFFE ID, 2.1

absl::Status BadIdentity(absl::string_view text, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_IDENTITY",
               absl::StrCat("\"", text, "\" is no identity: ", why));
}

absl::Status Unauthenticated(absl::string_view why) {
  return Error(absl::StatusCode::kUnauthenticated, "BAD_CERTIFICATE_IDENTITY",
               absl::StrCat("the certificate identifies nobody: ", why,
                            "; issue one with exactly one URI SAN spiffe://<trust-domain>/<role>/<id>"));
}

bool IsLowerOrDigit(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kOperator:
      return "operator";
    case Role::kAuthority:
      return "authority";
    case Role::kManufacturer:
      return "manufacturer";
    case Role::kGateway:
      return "gateway";
    case Role::kCse:
      return "cse";
    case Role::kRegistrar:
      return "registrar";
    case Role::kService:
      return "service";
  }
  return "unknown";
}

absl::StatusOr<Role> ParseRole(absl::string_view name) {
  for (Role role : kAllRoles) {
    if (RoleName(role) == name) return role;
  }
  return BadIdentity(name, "a role is operator, authority, manufacturer, gateway, cse, registrar or service");
}

std::string Identity::ToString() const { return absl::StrCat(RoleName(role), "/", id); }

std::string Identity::ToUri(absl::string_view trust_domain) const {
  return absl::StrCat("spiffe://", trust_domain, "/", ToString());
}

bool IsValidId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && IsLowerOrDigit(id.front()) && IsLowerOrDigit(id.back()) &&
         std::all_of(id.begin(), id.end(),
                     [](char c) { return IsLowerOrDigit(c) || c == '.' || c == '-'; }) &&
         id.find("..") == absl::string_view::npos;
}

bool IsValidTrustDomain(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxTrustDomainBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return IsLowerOrDigit(c) || c == '.' || c == '-' || c == '_'; });
}

absl::StatusOr<Identity> ParseIdentity(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return BadIdentity(text, "write <role>/<id>");
  ASSIGN_OR_RETURN(const Role role, ParseRole(text.substr(0, slash)));
  const absl::string_view id = text.substr(slash + 1);
  if (!IsValidId(id)) {
    return BadIdentity(
        text, "an id is 1 to 63 characters of a-z, 0-9, '.' and '-', with a letter or digit at each end");
  }
  return Identity{role, std::string(id)};
}

absl::StatusOr<Identity> IdentityFromUris(const std::vector<std::string>& uris,
                                          absl::string_view trust_domain) {
  if (uris.size() != 1) return Unauthenticated(absl::StrCat("it has ", uris.size(), " URI SANs"));
  absl::string_view rest = uris.front();
  if (!absl::ConsumePrefix(&rest, "spiffe://")) return Unauthenticated("its URI SAN is not a SPIFFE id");
  const size_t slash = rest.find('/');
  const absl::string_view domain = rest.substr(0, slash);
  if (domain != trust_domain) {
    return Unauthenticated(absl::StrCat("its URI SAN is not of the trust domain ", trust_domain));
  }
  if (slash == absl::string_view::npos) return Unauthenticated("its URI SAN has no role and id");
  absl::StatusOr<Identity> identity = ParseIdentity(rest.substr(slash + 1));
  if (!identity.ok()) return Unauthenticated(identity.status().message());
  return identity;
}

}  // namespace countersign::rpc
