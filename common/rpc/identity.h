// Who speaks: the identity in a certificate's URI SAN, `spiffe://<trust-domain>/<role>/<id>`.
#ifndef COUNTERSIGN_COMMON_RPC_IDENTITY_H_
#define COUNTERSIGN_COMMON_RPC_IDENTITY_H_

#include <compare>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::rpc {

enum class Role { kOperator, kAuthority, kManufacturer, kGateway, kCse, kRegistrar, kService };

inline constexpr Role kAllRoles[] = {Role::kOperator, Role::kAuthority, Role::kManufacturer, Role::kGateway,
                                     Role::kCse,      Role::kRegistrar, Role::kService};

// "operator", "authority", "manufacturer", "gateway", "cse", "registrar", "service".
absl::string_view RoleName(Role role);
absl::StatusOr<Role> ParseRole(absl::string_view name);  // INVALID_ARGUMENT

struct Identity {
  Role role = Role::kGateway;
  std::string id;

  // "<role>/<id>", e.g. "manufacturer/acme"; also the principal in records of requests and decisions.
  std::string ToString() const;
  // "spiffe://<trust-domain>/<role>/<id>".
  std::string ToUri(absl::string_view trust_domain) const;

  friend auto operator<=>(const Identity&, const Identity&) = default;
};

// Whether `id` is 1 to 63 characters of [a-z0-9.-], beginning and ending with a letter or digit, without
// "..".
bool IsValidId(absl::string_view id);

// Whether `name` is a trust domain: 1 to 255 characters of [a-z0-9._-].
bool IsValidTrustDomain(absl::string_view name);

// "<role>/<id>". INVALID_ARGUMENT with what is wrong.
absl::StatusOr<Identity> ParseIdentity(absl::string_view text);

// The identity in the URI SANs of a verified certificate. UNAUTHENTICATED, with a message that says what to
// correct in the certificate, unless there is exactly one URI and it is a well-formed identity of
// `trust_domain`.
absl::StatusOr<Identity> IdentityFromUris(const std::vector<std::string>& uris,
                                          absl::string_view trust_domain);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_IDENTITY_H_
