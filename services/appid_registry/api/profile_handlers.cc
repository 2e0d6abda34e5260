// Profiles: registration, versions, life, import.
#include <limits>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/db/page_token.h"
#include "common/onem2m/identifiers.h"
#include "common/rpc/mutation.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/appid_registry/api/appid_registry_api.h"
#include "services/appid_registry/api/convert.h"
#include "services/appid_registry/domain/registrant.h"

namespace countersign::appid_registry {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
constexpr int kDefaultVersionPageSize = 20;
constexpr int kMaxVersionPageSize = 100;
constexpr size_t kMaxImport = 1'000'000;
constexpr size_t kImportBatch = 100;
constexpr int kMaxRefusals = 1000;
constexpr size_t kMaxApplicationName = 64;
constexpr size_t kGeneratedNameBytes = 8;

absl::Status NotRegistered(absl::string_view app_id) {
  return Error(absl::StatusCode::kNotFound, "APP_ID_NOT_REGISTERED",
               absl::StrCat("App-ID \"", app_id, "\" is not registered."));
}

std::optional<std::string> ManufacturerOf(const rpc::Call& call) {
  if (call.identity().role == rpc::Role::kManufacturer) return call.identity().id;
  return std::nullopt;
}

template <typename Request>
Mutation MutationOf(const rpc::Call& call, const Request& request) {
  return {call.identity().ToString(), call.method(), request.request_id(), rpc::RequestBytes(request)};
}

// Of what is stored with a request, so that its repetition is answered the same.
template <typename Response>
absl::Status Answer(const absl::StatusOr<std::string>& bytes, Response* response) {
  if (!bytes.ok()) return bytes.status();
  if (!response->ParseFromString(*bytes)) return absl::InternalError("a recorded response cannot be read");
  return absl::OkStatus();
}

std::string Encoded(const domain::Registration& registration) {
  return ToProto(registration).SerializeAsString();
}

}  // namespace

absl::Status AppIdRegistryApi::CheckAuthority(const std::string& registrar, const std::string& app_id) const {
  ASSIGN_OR_RETURN(const onem2m::AppId parsed, onem2m::ParseAppId(app_id));
  return parts_.authorities.Check(registrar, parsed.authority);
}

absl::Status AppIdRegistryApi::VerifyTerms(domain::Registration& registration, absl::Time now) {
  const domain::Profile& profile = registration.profile;
  if (profile.signed_terms.empty()) {
    if (!parts_.require_terms) return absl::OkStatus();
    return Error(
        absl::StatusCode::kFailedPrecondition, "TERMS_REQUIRED",
        "signed_terms: this registry registers nothing without terms that the App Registrant signed.");
  }
  ASSIGN_OR_RETURN(registration.terms, domain::ReadTerms(profile.signed_terms));
  // What was verified when it was registered stays so, whatever key the registrant has today.
  ASSIGN_OR_RETURN(const std::optional<domain::Registration> stored, parts_.store.Find(profile.app_id));
  if (stored.has_value() && stored->profile.signed_terms == profile.signed_terms) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<domain::Registrant> registrant,
                   parts_.registrants.Find(registration.terms->registrant));
  if (!registrant.has_value()) {
    return Error(absl::StatusCode::kInvalidArgument, "TERMS_INVALID",
                 absl::StrCat("signed_terms: there is no registrants/", registration.terms->registrant, "."));
  }
  return domain::VerifyTerms(profile.signed_terms, *registrant, profile.app_id, now);
}

absl::StatusOr<domain::Registration> AppIdRegistryApi::ToRegister(const std::string& registrar,
                                                                  const v1::Profile& proto, absl::Time now) {
  domain::Registration registration;
  ASSIGN_OR_RETURN(registration.profile, FromProto(proto));
  RETURN_IF_ERROR(domain::CheckProfile(registration.profile));
  ASSIGN_OR_RETURN(const onem2m::AppId app_id, onem2m::ParseAppId(registration.profile.app_id));
  RETURN_IF_ERROR(parts_.authorities.Check(registrar, app_id.authority));
  registration.authority_id = app_id.authority;
  registration.registrar = registrar;
  // As the database keeps it, so that what is answered now is what is read later.
  registration.create_time = absl::FromUnixMicros(absl::ToUnixMicros(now));
  registration.update_time = registration.create_time;
  RETURN_IF_ERROR(VerifyTerms(registration, now));
  return registration;
}

absl::Status AppIdRegistryApi::CreateProfile(const rpc::Call& call, const v1::CreateProfileRequest& request,
                                             v1::Profile* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const domain::Registration registration,
                   ToRegister(call.identity().id, request.profile(), parts_.clock.Now()));
  const absl::StatusOr<std::string> bytes =
      parts_.store.Create(MutationOf(call, request), registration, Encoded);
  // Also when the outcome is in doubt.
  answers_.Clear();
  return Answer(bytes, response);
}

absl::Status AppIdRegistryApi::UpdateProfile(const rpc::Call& call, const v1::UpdateProfileRequest& request,
                                             v1::Profile* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(domain::Registration registration,
                   ToRegister(call.identity().id, request.profile(), parts_.clock.Now()));
  ASSIGN_OR_RETURN(const std::optional<int64_t> revision, ParseEtag(request.profile().etag()));
  if (!revision.has_value()) {
    return Error(absl::StatusCode::kInvalidArgument, "PROFILE_INVALID",
                 "etag: is required, so that no change of another's is undone unseen.");
  }
  registration.revision = *revision;
  const absl::StatusOr<std::string> bytes =
      parts_.store.Update(MutationOf(call, request), registration, Encoded);
  answers_.Clear();
  return Answer(bytes, response);
}

template <typename Request>
absl::Status AppIdRegistryApi::ChangeState(const rpc::Call& call, const Request& request,
                                           domain::EventKind kind, v1::Profile* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const std::string app_id, ParseProfileName(request.name()));
  RETURN_IF_ERROR(domain::CheckReason(request.reason()));
  ASSIGN_OR_RETURN(const std::optional<int64_t> revision, ParseEtag(request.etag()));
  RETURN_IF_ERROR(CheckAuthority(call.identity().id, app_id));
  const absl::StatusOr<std::string> bytes =
      parts_.store.ChangeState(MutationOf(call, request), app_id, kind, request.reason(), revision,
                               absl::FromUnixMicros(absl::ToUnixMicros(parts_.clock.Now())), Encoded);
  answers_.Clear();
  return Answer(bytes, response);
}

absl::Status AppIdRegistryApi::SuspendProfile(const rpc::Call& call, const v1::SuspendProfileRequest& request,
                                              v1::Profile* response) {
  return ChangeState(call, request, domain::EventKind::kSuspended, response);
}

absl::Status AppIdRegistryApi::ReinstateProfile(const rpc::Call& call,
                                                const v1::ReinstateProfileRequest& request,
                                                v1::Profile* response) {
  return ChangeState(call, request, domain::EventKind::kReinstated, response);
}

absl::Status AppIdRegistryApi::RevokeProfile(const rpc::Call& call, const v1::RevokeProfileRequest& request,
                                             v1::Profile* response) {
  return ChangeState(call, request, domain::EventKind::kRevoked, response);
}

absl::StatusOr<domain::Registration> AppIdRegistryApi::Visible(const rpc::Call& call,
                                                               const std::string& app_id) {
  ASSIGN_OR_RETURN(std::optional<domain::Registration> found, parts_.store.Find(app_id));
  const std::optional<std::string> manufacturer = ManufacturerOf(call);
  // To a manufacturer another's profile is not there.
  if (!found.has_value() || (manufacturer.has_value() && found->profile.manufacturer != *manufacturer)) {
    return NotRegistered(app_id);
  }
  return *std::move(found);
}

absl::Status AppIdRegistryApi::GetProfile(const rpc::Call& call, const v1::GetProfileRequest& request,
                                          v1::Profile* response) {
  ASSIGN_OR_RETURN(const std::string app_id, ParseProfileName(request.name()));
  ASSIGN_OR_RETURN(const domain::Registration latest, Visible(call, app_id));
  if (request.version() == 0 || request.version() == latest.version) {
    *response = ToProto(latest);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::optional<domain::Registration> found,
                   parts_.store.FindVersion(app_id, request.version()));
  if (!found.has_value()) {
    return Error(absl::StatusCode::kNotFound, "VERSION_UNKNOWN",
                 absl::StrCat("profiles/", app_id, " has versions 1 to ", latest.version, "."));
  }
  *response = ToProto(*found);
  return absl::OkStatus();
}

absl::Status AppIdRegistryApi::ListProfiles(const rpc::Call& call, const v1::ListProfilesRequest& request,
                                            v1::ListProfilesResponse* response) {
  ASSIGN_OR_RETURN(ProfileFilter filter, FromProto(request));
  v1::ListProfilesRequest conditions = request;
  conditions.clear_page_size();
  conditions.clear_page_token();
  const std::string scope =
      absl::StrCat(call.method(), "|", call.identity().ToString(), "|", conditions.SerializeAsString());
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 1));
  if (const std::optional<std::string> manufacturer = ManufacturerOf(call); manufacturer.has_value()) {
    // Another's profiles are not there for it.
    if (!filter.manufacturer.empty() && filter.manufacturer != *manufacturer) return absl::OkStatus();
    filter.manufacturer = *manufacturer;
  }
  ASSIGN_OR_RETURN(const std::vector<domain::Registration> profiles,
                   parts_.store.List(filter, after.empty() ? "" : after[0], page_size + 1));
  for (const domain::Registration& registration : profiles) {
    if (response->profiles_size() == page_size) {
      response->set_next_page_token(db::EncodePageToken(scope, {profiles[page_size - 1].profile.app_id}));
      break;
    }
    *response->add_profiles() = ToProto(registration);
  }
  return absl::OkStatus();
}

absl::Status AppIdRegistryApi::ListProfileVersions(const rpc::Call& call,
                                                   const v1::ListProfileVersionsRequest& request,
                                                   v1::ListProfileVersionsResponse* response) {
  ASSIGN_OR_RETURN(const std::string app_id, ParseProfileName(request.name()));
  RETURN_IF_ERROR(Visible(call, app_id).status());
  const std::string scope = absl::StrCat(call.method(), "|", app_id);
  ASSIGN_OR_RETURN(const int page_size,
                   db::PageSize(request.page_size(), kDefaultVersionPageSize, kMaxVersionPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 1));
  int before = std::numeric_limits<int>::max();
  if (!after.empty() && !absl::SimpleAtoi(after[0], &before)) before = 0;
  ASSIGN_OR_RETURN(const std::vector<ProfileVersion> versions,
                   parts_.store.ListVersions(app_id, before, page_size + 1));
  for (const ProfileVersion& version : versions) {
    if (response->versions_size() == page_size) {
      response->set_next_page_token(
          db::EncodePageToken(scope, {absl::StrCat(versions[page_size - 1].registration.version)}));
      break;
    }
    *response->add_versions() = ToProto(version);
  }
  return absl::OkStatus();
}

absl::Status AppIdRegistryApi::ListProfileEvents(const rpc::Call& call,
                                                 const v1::ListProfileEventsRequest& request,
                                                 v1::ListProfileEventsResponse* response) {
  ASSIGN_OR_RETURN(const std::string app_id, ParseProfileName(request.name()));
  RETURN_IF_ERROR(Visible(call, app_id).status());
  const std::string scope = absl::StrCat(call.method(), "|", app_id);
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 1));
  int64_t before = std::numeric_limits<int64_t>::max();
  if (!after.empty() && !absl::SimpleAtoi(after[0], &before)) before = 0;
  ASSIGN_OR_RETURN(const std::vector<domain::Event> events,
                   parts_.store.ListEvents(app_id, before, page_size + 1));
  for (const domain::Event& event : events) {
    if (response->events_size() == page_size) {
      response->set_next_page_token(
          db::EncodePageToken(scope, {absl::StrCat(events[page_size - 1].revision)}));
      break;
    }
    *response->add_events() = ToProto(event);
  }
  return absl::OkStatus();
}

absl::Status AppIdRegistryApi::IssueAppId(const rpc::Call& call, const v1::IssueAppIdRequest& request,
                                          v1::IssuedAppId* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  RETURN_IF_ERROR(parts_.authorities.Check(call.identity().id, request.authority_id()));
  std::string application = request.application();
  if (application.empty()) application = crypto::RandomHex(kGeneratedNameBytes);
  if (application.size() > kMaxApplicationName || application.find('.') != std::string::npos ||
      request.reverse_dns().empty()) {
    return Error(
        absl::StatusCode::kInvalidArgument, "APP_ID_MALFORMED",
        "An App-ID is issued for a reverse DNS name, and an application of 1 to 64 letters, digits, -, _ "
        "and ~.");
  }
  const std::string app_id =
      absl::StrCat("R", request.authority_id(), ".", request.reverse_dns(), ".", application);
  RETURN_IF_ERROR(onem2m::ParseAppId(app_id).status());
  const IssuedAppId issued{app_id, call.identity().id,
                           absl::FromUnixMicros(absl::ToUnixMicros(parts_.clock.Now()))};
  return Answer(
      parts_.store.Issue(MutationOf(call, request), issued, request.authority_id(),
                         [](const IssuedAppId& given) { return ToProto(given).SerializeAsString(); }),
      response);
}

// Profiles come one by one, and go into the database a batch at a time.
class AppIdRegistryApi::Import : public rpc::Consumer<v1::ImportProfilesRequest, v1::ImportProfilesResponse> {
 public:
  Import(AppIdRegistryApi& api, const rpc::Identity& identity) : api_(api), identity_(identity) {}

  absl::Status OnMessage(const v1::ImportProfilesRequest& request) override {
    if (request.has_begin() == begun_ || (!request.has_begin() && !request.has_profile())) {
      return Error(absl::StatusCode::kInvalidArgument, "IMPORT_MALFORMED",
                   "An import is a message with `begin`, and then one with a profile for each.");
    }
    if (request.has_begin()) {
      begun_ = true;
      dry_run_ = request.begin().dry_run();
      return absl::OkStatus();
    }
    if (++position_ > static_cast<int64_t>(kMaxImport)) {
      return Error(absl::StatusCode::kResourceExhausted, "IMPORT_TOO_LARGE",
                   absl::StrCat("An import has at most ", kMaxImport, " profiles: make several."));
    }
    absl::StatusOr<domain::Registration> registration =
        api_.ToRegister(identity_.id, request.profile(), api_.parts_.clock.Now());
    if (registration.ok() && !seen_.insert(registration->profile.app_id).second) {
      registration =
          Error(absl::StatusCode::kInvalidArgument, "APP_ID_REPEATED", "It stands in the import twice.");
    }
    if (!registration.ok()) {
      // A database that fails is no fault of the profile's.
      if (!IsRefusal(registration.status())) return registration.status();
      Refuse(position_, request.profile().name(), registration.status());
      return absl::OkStatus();
    }
    batch_.push_back(*std::move(registration));
    positions_.push_back(position_);
    return batch_.size() < kImportBatch ? absl::OkStatus() : Flush();
  }

  absl::Status OnEnd(v1::ImportProfilesResponse* response) override {
    if (!begun_) {
      return Error(absl::StatusCode::kInvalidArgument, "IMPORT_MALFORMED",
                   "The import has no message with `begin`.");
    }
    RETURN_IF_ERROR(Flush());
    *response = std::move(response_);
    return absl::OkStatus();
  }

 private:
  static bool IsRefusal(const absl::Status& status) {
    return absl::IsInvalidArgument(status) || absl::IsPermissionDenied(status) ||
           absl::IsFailedPrecondition(status) || absl::IsAlreadyExists(status);
  }

  void Refuse(int64_t position, absl::string_view name, const absl::Status& status) {
    response_.set_refused(response_.refused() + 1);
    if (response_.refusals_size() == kMaxRefusals) return;
    v1::ImportProfilesResponse::Refusal& refusal = *response_.add_refusals();
    refusal.set_position(position);
    refusal.set_name(std::string(name.substr(0, 300)));
    refusal.set_reason(ReasonOf(status));
    refusal.set_message(std::string(status.message()));
  }

  absl::Status Flush() {
    if (batch_.empty()) return absl::OkStatus();
    const absl::StatusOr<std::vector<ImportOutcome>> outcomes =
        api_.parts_.store.Import(identity_.ToString(), batch_, dry_run_);
    api_.answers_.Clear();
    if (!outcomes.ok()) return outcomes.status();
    for (size_t i = 0; i < outcomes->size(); ++i) {
      switch ((*outcomes)[i].kind) {
        case ImportOutcome::Kind::kCreated:
          response_.set_created(response_.created() + 1);
          break;
        case ImportOutcome::Kind::kUpdated:
          response_.set_updated(response_.updated() + 1);
          break;
        case ImportOutcome::Kind::kUnchanged:
          response_.set_unchanged(response_.unchanged() + 1);
          break;
        case ImportOutcome::Kind::kRefused:
          Refuse(positions_[i], absl::StrCat("profiles/", batch_[i].profile.app_id), (*outcomes)[i].refusal);
          break;
      }
    }
    batch_.clear();
    positions_.clear();
    return absl::OkStatus();
  }

  AppIdRegistryApi& api_;
  const rpc::Identity identity_;
  bool begun_ = false;
  bool dry_run_ = false;
  int64_t position_ = 0;
  std::unordered_set<std::string> seen_;
  std::vector<domain::Registration> batch_;
  std::vector<int64_t> positions_;  // of the batch
  v1::ImportProfilesResponse response_;
};

absl::StatusOr<std::unique_ptr<rpc::Consumer<v1::ImportProfilesRequest, v1::ImportProfilesResponse>>>
AppIdRegistryApi::ImportProfiles(const rpc::Call& call) {
  return std::make_unique<Import>(*this, call.identity());
}

}  // namespace countersign::appid_registry
