#include "services/appid_registry/api/appid_registry_api.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/rpc/mutation.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/appid_registry/api/convert.h"
#include "services/appid_registry/api/roles.h"

namespace countersign::appid_registry {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// About 2 KB each.
constexpr size_t kMaxCachedAnswers = 10000;
// How late a replica may notice what another one registered.
constexpr absl::Duration kAnswerReuse = absl::Seconds(5);
constexpr int kMaxQueuedLookups = 1000;

absl::Status NotRegistered(absl::string_view app_id) {
  return Error(absl::StatusCode::kNotFound, "APP_ID_NOT_REGISTERED",
               absl::StrCat("App-ID \"", app_id, "\" is not registered."));
}

std::optional<std::string> ManufacturerOf(const rpc::Call& call) {
  if (call.identity().role == rpc::Role::kManufacturer) return call.identity().id;
  return std::nullopt;
}

}  // namespace

AppIdRegistryApi::AppIdRegistryApi(const Parts& parts)
    : parts_(parts),
      answers_(kMaxCachedAnswers, kAnswerReuse),
      lookups_(parts.lookup_threads, kMaxQueuedLookups) {
  const metrics::CounterFamily family = parts_.registry.AddCounter(
      "countersign_appid_registry_verifications_total",
      "Identities that were verified, by what is known of their App-ID.", {"status"});
  for (domain::Status status : domain::kAllStatuses) {
    verifications_.emplace(static_cast<int>(status),
                           family.With({absl::AsciiStrToLower(domain::StatusName(status))}));
  }
}

std::unique_ptr<rpc::Service> AppIdRegistryApi::Bind() {
  auto service = std::make_unique<rpc::Service>(AppIdRegistryRoles());
  service->Unary("CreateProfile", this, &AppIdRegistryApi::CreateProfile);
  service->Unary("GetProfile", this, &AppIdRegistryApi::GetProfile);
  service->Unary("ListProfiles", this, &AppIdRegistryApi::ListProfiles);
  // Most answers are in memory; the others are made on a pool of their own.
  service->AsyncUnary("VerifyIdentity", this, &AppIdRegistryApi::VerifyIdentity, {.run_inline = true});
  return service;
}

absl::Status AppIdRegistryApi::CreateProfile(const rpc::Call& call, const v1::CreateProfileRequest& request,
                                             v1::Profile* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const domain::Profile profile, FromProto(request.profile(), parts_.clock.Now()));
  RETURN_IF_ERROR(domain::CheckProfile(profile));
  const Mutation mutation{call.identity().ToString(), call.method(), request.request_id(),
                          rpc::RequestBytes(request)};
  absl::StatusOr<std::string> bytes = parts_.store.Create(
      mutation, profile, [](const domain::Profile& created) { return ToProto(created).SerializeAsString(); });
  // Also when the outcome is in doubt.
  answers_.Clear();
  if (!bytes.ok()) return bytes.status();
  if (!response->ParseFromString(*bytes)) return absl::InternalError("a recorded response cannot be read");
  return absl::OkStatus();
}

absl::Status AppIdRegistryApi::GetProfile(const rpc::Call& call, const v1::GetProfileRequest& request,
                                          v1::Profile* response) {
  ASSIGN_OR_RETURN(const std::string app_id, ParseProfileName(request.name()));
  ASSIGN_OR_RETURN(const std::optional<domain::Profile> profile, parts_.store.Find(app_id));
  const std::optional<std::string> manufacturer = ManufacturerOf(call);
  // To a manufacturer another's profile is not there.
  if (!profile.has_value() || (manufacturer.has_value() && profile->manufacturer != *manufacturer)) {
    return NotRegistered(app_id);
  }
  *response = ToProto(*profile);
  return absl::OkStatus();
}

absl::Status AppIdRegistryApi::ListProfiles(const rpc::Call& call, const v1::ListProfilesRequest& request,
                                            v1::ListProfilesResponse* response) {
  const std::string scope = absl::StrCat(call.method(), "|", call.identity().ToString());
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 1));
  ASSIGN_OR_RETURN(const std::vector<domain::Profile> profiles,
                   parts_.store.List(ManufacturerOf(call), after.empty() ? "" : after[0], page_size + 1));
  for (const domain::Profile& profile : profiles) {
    if (response->profiles_size() == page_size) {
      response->set_next_page_token(db::EncodePageToken(scope, {profiles[page_size - 1].app_id}));
      break;
    }
    *response->add_profiles() = ToProto(profile);
  }
  return absl::OkStatus();
}

void AppIdRegistryApi::VerifyIdentity(const rpc::Call&, const v1::VerifyIdentityRequest& request,
                                      v1::VerifyIdentityResponse* response, rpc::Done done) {
  if (const AnswerCache::Answer answer = answers_.Find(AnswerCache::Key(request), parts_.clock.Now());
      answer != nullptr) {
    Count(*answer);
    *response = *answer;
    return done(absl::OkStatus());
  }
  // The request lives until the call is answered.
  const absl::Status queued = lookups_.TrySubmit([this, &request, response, done] {
    const absl::StatusOr<AnswerCache::Answer> answer = MakeAnswer(request);
    if (!answer.ok()) return done(answer.status());
    Count(**answer);
    *response = **answer;
    done(absl::OkStatus());
  });
  if (!queued.ok()) done(queued);
}

absl::StatusOr<AnswerCache::Answer> AppIdRegistryApi::MakeAnswer(const v1::VerifyIdentityRequest& request) {
  ASSIGN_OR_RETURN(const domain::Presented presented,
                   domain::ParsePresented(request.app_id(), request.ae_id(), request.root_of_trust_sha256()));
  const uint64_t generation = answers_.generation();
  std::optional<domain::Profile> profile;
  if (presented.app_id.registered_form) {
    ASSIGN_OR_RETURN(profile, parts_.store.Find(presented.app_id.text));
  }
  const domain::Profile* known = profile.has_value() ? &*profile : nullptr;
  const domain::Assessment assessment = domain::Assess(presented, known);
  const absl::Time now = parts_.clock.Now();
  // Whole seconds, as the signed answer has them.
  const absl::Time answer_time = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
  const absl::Time expire_time = answer_time + parts_.answer_validity;

  auto answer = std::make_shared<v1::VerifyIdentityResponse>();
  ASSIGN_OR_RETURN(*answer->mutable_signed_answer(),
                   domain::SignAnswer(presented, known, assessment, answer_time, expire_time, parts_.signer));
  answer->set_status(static_cast<v1::VerifyIdentityResponse::Status>(assessment.status));
  if (known != nullptr) *answer->mutable_profile() = ToProto(*known);
  for (const domain::Finding& finding : assessment.findings) *answer->add_findings() = ToProto(finding);
  *answer->mutable_answer_time() = ToProto(answer_time);
  *answer->mutable_expire_time() = ToProto(expire_time);
  answers_.Keep(AnswerCache::Key(request), answer, now, generation);
  return answer;
}

void AppIdRegistryApi::Count(const v1::VerifyIdentityResponse& answer) const {
  if (const auto counter = verifications_.find(answer.status()); counter != verifications_.end()) {
    counter->second.Increment();
  }
}

}  // namespace countersign::appid_registry
