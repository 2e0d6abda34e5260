#include "services/appid_registry/domain/authorities.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/onem2m/identifiers.h"
#include "common/status/errors.h"

namespace countersign::appid_registry::domain {
namespace {

absl::Status Invalid(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "AUTHORITIES_INVALID",
               absl::StrCat(what,
                            ". Authorities are {registrar}={authority id}, with commas between them, e.g. "
                            "ara=a01,ara=a02: the registrar as in its certificate."));
}

}  // namespace

absl::StatusOr<Authorities> Authorities::Parse(absl::string_view text) {
  Authorities authorities;
  std::map<std::string, std::string> owners;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    if (parts.first.empty() || !onem2m::IsAuthorityId(parts.second)) {
      return Invalid(absl::StrCat("\"", entry, "\" names no registrar and its authority id"));
    }
    const auto [owner, added] = owners.emplace(parts.second, parts.first);
    if (!added && owner->second != parts.first) {
      return Invalid(absl::StrCat("Authority id ", parts.second, " is of two registrars"));
    }
    authorities.by_registrar_[parts.first].insert(parts.second);
  }
  return authorities;
}

absl::Status Authorities::Check(absl::string_view registrar, absl::string_view authority_id) const {
  const auto found = by_registrar_.find(registrar);
  if (found != by_registrar_.end() && found->second.count(std::string(authority_id)) > 0)
    return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "AUTHORITY_OF_ANOTHER",
               absl::StrCat("App-IDs of authority \"", authority_id, "\" are not registrar/", registrar,
                            "'s to administer",
                            found == by_registrar_.end()
                                ? ": it has no authority id in this registry."
                                : absl::StrCat(": its are ", absl::StrJoin(found->second, ", "), ".")));
}

}  // namespace countersign::appid_registry::domain
