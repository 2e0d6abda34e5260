#include "services/appid_registry/api/appid_registry_api.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/onem2m/answer.h"
#include "common/status/macros.h"
#include "services/appid_registry/api/convert.h"
#include "services/appid_registry/api/roles.h"

namespace countersign::appid_registry {
namespace {

// About 3 KB each.
constexpr size_t kMaxCachedAnswers = 10000;
// How late a replica may notice what another one registered.
constexpr absl::Duration kAnswerReuse = absl::Seconds(5);
constexpr int kMaxQueuedLookups = 1000;

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
  service->Unary("UpdateProfile", this, &AppIdRegistryApi::UpdateProfile);
  service->Unary("ListProfileVersions", this, &AppIdRegistryApi::ListProfileVersions);
  service->Unary("ListProfileEvents", this, &AppIdRegistryApi::ListProfileEvents);
  service->Unary("SuspendProfile", this, &AppIdRegistryApi::SuspendProfile);
  service->Unary("ReinstateProfile", this, &AppIdRegistryApi::ReinstateProfile);
  service->Unary("RevokeProfile", this, &AppIdRegistryApi::RevokeProfile);
  service->ClientStream("ImportProfiles", this, &AppIdRegistryApi::ImportProfiles);
  service->Unary("IssueAppId", this, &AppIdRegistryApi::IssueAppId);
  service->Unary("CreateRegistrant", this, &AppIdRegistryApi::CreateRegistrant);
  service->Unary("GetRegistrant", this, &AppIdRegistryApi::GetRegistrant);
  service->Unary("ListRegistrants", this, &AppIdRegistryApi::ListRegistrants);
  service->Unary("UpdateRegistrant", this, &AppIdRegistryApi::UpdateRegistrant);
  // Most answers are in memory; the others are made on a pool of their own.
  service->AsyncUnary("VerifyIdentity", this, &AppIdRegistryApi::VerifyIdentity, {.run_inline = true});
  return service;
}

void AppIdRegistryApi::VerifyIdentity(const rpc::Call&, const v1::VerifyIdentityRequest& request,
                                      v1::VerifyIdentityResponse* response, rpc::Done done) {
  if (const AnswerCache::Kept kept = answers_.Find(AnswerCache::Key(request), parts_.clock.Now());
      kept.current) {
    Count(*kept.answer);
    *response = *kept.answer;
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
  const std::string key = AnswerCache::Key(request);
  const uint64_t generation = answers_.generation();
  ASSIGN_OR_RETURN(const onem2m::AppId app_id, onem2m::ParseAppId(request.app_id()));
  std::optional<domain::Registration> found;
  if (app_id.registered_form) {
    ASSIGN_OR_RETURN(found, parts_.store.Find(app_id.text));
  }
  const domain::Registration* known = found.has_value() ? &*found : nullptr;
  const int64_t revision = known == nullptr ? 0 : known->revision;
  const absl::Time now = parts_.clock.Now();
  const auto until = [&](const v1::VerifyIdentityResponse& answer) {
    // In the second half of its time an answer is of less use to who wants to keep it.
    return std::min(absl::FromUnixSeconds(answer.answer_time().seconds()) + parts_.answer_validity / 2,
                    absl::FromUnixSeconds(answer.expire_time().seconds()));
  };
  if (const AnswerCache::Kept kept = answers_.Find(key, now);
      kept.answer != nullptr && kept.revision == revision) {
    answers_.Keep(key, kept.answer, revision, now, until(*kept.answer), generation);
    return kept.answer;
  }

  ASSIGN_OR_RETURN(const domain::Presented presented, domain::ParsePresented(FromProto(request)));
  const domain::Assessment assessment = domain::Assess(presented, known, now);
  // Whole seconds, as the signed answer has them.
  const absl::Time answer_time = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
  const absl::Time expire_time = absl::FromUnixSeconds(
      absl::ToUnixSeconds(std::min(answer_time + parts_.answer_validity, assessment.holds_until)));

  auto answer = std::make_shared<v1::VerifyIdentityResponse>();
  onem2m::Answer document{.app_id = request.app_id(),
                          .ae_id = request.ae_id(),
                          .question_sha256 = onem2m::QuestionDigest(presented.question),
                          .status = std::string(domain::StatusName(assessment.status)),
                          .answer_time = answer_time,
                          .expire_time = expire_time};
  if (known != nullptr) {
    *answer->mutable_profile() = ToProto(*known);
    document.profile = answer->profile().SerializeAsString();
    document.profile_sha256 = domain::ProfileDigest(known->profile);
  }
  for (const domain::Finding& finding : assessment.findings) {
    *answer->add_findings() = ToProto(finding);
    document.findings.push_back(
        {std::string(domain::SeverityName(finding.severity)), finding.reason, finding.message});
  }
  ASSIGN_OR_RETURN(*answer->mutable_signed_answer(), onem2m::SignAnswer(document, parts_.signer));
  answer->set_status(static_cast<v1::VerifyIdentityResponse::Status>(assessment.status));
  *answer->mutable_answer_time() = ToProto(answer_time);
  *answer->mutable_expire_time() = ToProto(expire_time);
  answers_.Keep(key, answer, revision, now, until(*answer), generation);
  return answer;
}

void AppIdRegistryApi::Count(const v1::VerifyIdentityResponse& answer) const {
  if (const auto counter = verifications_.find(answer.status()); counter != verifications_.end()) {
    counter->second.Increment();
  }
}

}  // namespace countersign::appid_registry
