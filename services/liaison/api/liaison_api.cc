#include "services/liaison/api/liaison_api.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/rpc/mutation.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/liaison/api/convert.h"
#include "services/liaison/api/roles.h"
#include "services/liaison/domain/names.h"

namespace countersign::liaison {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
constexpr int kMaxComponents = 1000;
// An answer ends early rather than grow beyond what a client takes: a release has up to 1 MiB.
constexpr size_t kMaxAnswerBytes = 2 << 20;

// A manufacturer touches its own things only; whoever else the role table lets in touches all.
absl::Status CheckOwner(const rpc::Call& call, absl::string_view manufacturer) {
  const rpc::Identity& caller = call.identity();
  if (caller.role != rpc::Role::kManufacturer || caller.id == manufacturer) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "NOT_YOURS",
               absl::StrCat("manufacturer ", caller.id, " sees and changes what is its own, and not what is ",
                            manufacturer.empty() ? "everyone's" : manufacturer, "'s"));
}

template <typename Request>
absl::StatusOr<Mutation> ToMutation(const rpc::Call& call, const Request& request) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  return Mutation{.principal = absl::StrCat(rpc::RoleName(call.identity().role), "/", call.identity().id),
                  .method = call.method(),
                  .request_id = request.request_id(),
                  .request_bytes = rpc::RequestBytes(request)};
}

template <typename Value>
std::string Encode(const Value& value) {
  return ToProto(value).SerializeAsString();
}

// What a mutation answered, now or when the same request came before.
template <typename Response>
absl::Status Answer(const absl::StatusOr<std::string>& bytes, Response* response) {
  RETURN_IF_ERROR(bytes.status());
  if (response->ParseFromString(*bytes)) return absl::OkStatus();
  return absl::InternalError("a recorded response cannot be read");
}

struct Page {
  std::string scope;
  std::vector<std::string> after;
  int size;
};

template <typename Request>
absl::StatusOr<Page> ToPage(const rpc::Call& call, const Request& request, absl::string_view parent,
                            size_t keys) {
  Page page;
  page.scope = absl::StrCat(call.method(), "\n", parent);
  ASSIGN_OR_RETURN(page.after, db::DecodePageToken(page.scope, request.page_token(), keys));
  if (page.after.empty()) page.after.resize(keys);
  ASSIGN_OR_RETURN(page.size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  return page;
}

}  // namespace

std::unique_ptr<rpc::Service> LiaisonApi::Bind() {
  auto service = std::make_unique<rpc::Service>(LiaisonRoles());
  service->Unary("CreateManufacturer", this, &LiaisonApi::CreateManufacturer);
  service->Unary("GetManufacturer", this, &LiaisonApi::GetManufacturer);
  service->Unary("ListManufacturers", this, &LiaisonApi::ListManufacturers);
  service->Unary("RefreshManufacturer", this, &LiaisonApi::RefreshManufacturer);
  service->Unary("CreateRelease", this, &LiaisonApi::CreateRelease);
  service->Unary("GetRelease", this, &LiaisonApi::GetRelease);
  service->Unary("ListReleases", this, &LiaisonApi::ListReleases);
  service->Unary("FindUpdates", this, &LiaisonApi::FindUpdates);
  service->Unary("CreateNotice", this, &LiaisonApi::CreateNotice);
  service->Unary("ListNotices", this, &LiaisonApi::ListNotices);
  return service;
}

absl::Status LiaisonApi::CreateManufacturer(const rpc::Call& call,
                                            const v1::CreateManufacturerRequest& request,
                                            v1::Manufacturer* response) {
  ASSIGN_OR_RETURN(const Mutation mutation, ToMutation(call, request));
  ASSIGN_OR_RETURN(const domain::Manufacturer manufacturer,
                   FromProto(request.manufacturer(), parts_.clock.Now()));
  return Answer(parts_.store.CreateManufacturer(mutation, manufacturer, &Encode<domain::Manufacturer>),
                response);
}

absl::Status LiaisonApi::GetManufacturer(const rpc::Call& call, const v1::GetManufacturerRequest& request,
                                         v1::Manufacturer* response) {
  ASSIGN_OR_RETURN(const std::string id, domain::ParseManufacturerName(request.name()));
  RETURN_IF_ERROR(CheckOwner(call, id));
  ASSIGN_OR_RETURN(const domain::Manufacturer manufacturer, parts_.store.GetManufacturer(id));
  *response = ToProto(manufacturer);
  return absl::OkStatus();
}

absl::Status LiaisonApi::ListManufacturers(const rpc::Call& call, const v1::ListManufacturersRequest& request,
                                           v1::ListManufacturersResponse* response) {
  ASSIGN_OR_RETURN(const Page page, ToPage(call, request, "", 1));
  ASSIGN_OR_RETURN(const std::vector<domain::Manufacturer> manufacturers,
                   parts_.store.ListManufacturers(page.after[0], page.size));
  for (const domain::Manufacturer& manufacturer : manufacturers) {
    *response->add_manufacturers() = ToProto(manufacturer);
  }
  if (static_cast<int>(manufacturers.size()) == page.size) {
    response->set_next_page_token(db::EncodePageToken(page.scope, {manufacturers.back().id}));
  }
  return absl::OkStatus();
}

absl::Status LiaisonApi::RefreshManufacturer(const rpc::Call& call,
                                             const v1::RefreshManufacturerRequest& request,
                                             v1::Manufacturer* response) {
  ASSIGN_OR_RETURN(const Mutation mutation, ToMutation(call, request));
  ASSIGN_OR_RETURN(const std::string id, domain::ParseManufacturerName(request.name()));
  return Answer(parts_.store.RequestRefresh(mutation, id, parts_.clock.Now(), &Encode<domain::Manufacturer>),
                response);
}

absl::Status LiaisonApi::CreateRelease(const rpc::Call& call, const v1::CreateReleaseRequest& request,
                                       v1::Release* response) {
  ASSIGN_OR_RETURN(const Mutation mutation, ToMutation(call, request));
  ASSIGN_OR_RETURN(const domain::ReleaseName name, domain::ParseReleaseName(request.release().name()));
  RETURN_IF_ERROR(CheckOwner(call, name.manufacturer));
  ASSIGN_OR_RETURN(domain::Release release, MakeRelease(name.manufacturer, name.release_id,
                                                        request.release().info(), parts_.clock.Now()));
  const common::v1::Image& image = request.release().info().image();
  ASSIGN_OR_RETURN(const std::optional<int64_t> stored,
                   parts_.package_store.StoredLength(name.manufacturer, image.sha256(), call.deadline()));
  if (!stored.has_value()) {
    return Error(absl::StatusCode::kFailedPrecondition, "IMAGE_MISSING",
                 absl::StrCat("the package store has no whole image ", image.sha256(), " of ",
                              name.manufacturer, ": upload it first"));
  }
  if (*stored != image.length_bytes()) {
    return Error(absl::StatusCode::kInvalidArgument, "RELEASE_INVALID",
                 absl::StrCat(name.release_id, ": info.image.length_bytes: the image has ", *stored,
                              " bytes, not ", image.length_bytes()));
  }
  release.state = domain::ReleaseState::kAvailable;
  return Answer(parts_.store.CreateRelease(mutation, release, &Encode<domain::Release>), response);
}

absl::Status LiaisonApi::GetRelease(const rpc::Call& call, const v1::GetReleaseRequest& request,
                                    v1::Release* response) {
  ASSIGN_OR_RETURN(const domain::ReleaseName name, domain::ParseReleaseName(request.name()));
  RETURN_IF_ERROR(CheckOwner(call, name.manufacturer));
  ASSIGN_OR_RETURN(const domain::Release release,
                   parts_.store.GetRelease(name.manufacturer, name.release_id));
  *response = ToProto(release);
  return absl::OkStatus();
}

absl::Status LiaisonApi::ListReleases(const rpc::Call& call, const v1::ListReleasesRequest& request,
                                      v1::ListReleasesResponse* response) {
  ASSIGN_OR_RETURN(const std::string manufacturer, domain::ParseParent(request.parent()));
  RETURN_IF_ERROR(CheckOwner(call, manufacturer));
  ASSIGN_OR_RETURN(const Page page, ToPage(call, request, manufacturer, 2));
  ASSIGN_OR_RETURN(const std::vector<domain::Release> releases,
                   parts_.store.ListReleases(manufacturer, {page.after[0], page.after[1]}, page.size));
  size_t bytes = 0;
  int shown = 0;
  for (const domain::Release& release : releases) {
    if (bytes > kMaxAnswerBytes) break;
    bytes += release.info.size();
    ++shown;
    *response->add_releases() = ToProto(release);
  }
  if (shown == page.size || shown < static_cast<int>(releases.size())) {
    const domain::Release& last = releases[shown - 1];
    response->set_next_page_token(
        db::EncodePageToken(page.scope, {last.manufacturer, last.offer.release_id}));
  }
  return absl::OkStatus();
}

absl::Status LiaisonApi::FindUpdates(const rpc::Call&, const v1::FindUpdatesRequest& request,
                                     v1::FindUpdatesResponse* response) {
  if (request.components().empty() || request.components_size() > kMaxComponents) {
    return Error(absl::StatusCode::kInvalidArgument, "TOO_MANY_COMPONENTS",
                 "components: ask for 1 to 1,000 components at once");
  }
  // Devices of one model are many, their releases few: each pair is looked up once.
  std::map<std::pair<std::string, std::string>, std::vector<domain::Release>> offered;
  size_t bytes = 0;
  for (const v1::InstalledComponent& component : request.components()) {
    const std::pair<std::string, std::string> key(component.manufacturer(), component.model());
    if (const auto [entry, missing] = offered.try_emplace(key); missing) {
      ASSIGN_OR_RETURN(entry->second, parts_.store.FindOffers(key.first, key.second));
    }
    std::vector<const domain::Offer*> offers;
    for (const domain::Release& release : offered[key]) offers.push_back(&release.offer);
    const std::optional<size_t> found = domain::FindUpdate(offers, FromProto(component));
    if (!found.has_value()) continue;
    bytes += offered[key][*found].info.size();
    if (bytes > kMaxAnswerBytes) {
      return Error(absl::StatusCode::kResourceExhausted, "ANSWER_TOO_LARGE",
                   absl::StrCat("components: what is new for these is more than an answer takes; ask for ",
                                std::max(response->updates_size(), 1), " at once"));
    }
    v1::AvailableUpdate& update = *response->add_updates();
    update.set_ecu_serial(component.ecu_serial());
    *update.mutable_release() = ToProto(offered[key][*found]);
  }
  return absl::OkStatus();
}

absl::Status LiaisonApi::CreateNotice(const rpc::Call& call, const v1::CreateNoticeRequest& request,
                                      v1::Notice* response) {
  ASSIGN_OR_RETURN(const Mutation mutation, ToMutation(call, request));
  ASSIGN_OR_RETURN(const std::string manufacturer, domain::ParseManufacturerName(request.parent()));
  ASSIGN_OR_RETURN(const domain::Notice notice,
                   FromProto(manufacturer, request.notice(), parts_.clock.Now()));
  return Answer(parts_.store.CreateNotice(mutation, notice, &Encode<domain::Notice>), response);
}

absl::Status LiaisonApi::ListNotices(const rpc::Call& call, const v1::ListNoticesRequest& request,
                                     v1::ListNoticesResponse* response) {
  ASSIGN_OR_RETURN(const std::string manufacturer, domain::ParseParent(request.parent()));
  RETURN_IF_ERROR(CheckOwner(call, manufacturer));
  ASSIGN_OR_RETURN(const Page page, ToPage(call, request, manufacturer, 2));
  ASSIGN_OR_RETURN(std::vector<domain::Notice> notices,
                   parts_.store.ListNotices(manufacturer, {page.after[0], page.after[1]}, page.size));
  if (call.identity().role == rpc::Role::kManufacturer) {
    // Who reads it has it.
    std::vector<std::string> read;
    for (domain::Notice& notice : notices) {
      if (notice.state == domain::NoticeState::kPending) read.push_back(notice.id);
      notice.state = domain::NoticeState::kDelivered;
    }
    RETURN_IF_ERROR(parts_.store.MarkDelivered(manufacturer, read));
  }
  for (const domain::Notice& notice : notices) *response->add_notices() = ToProto(notice);
  if (static_cast<int>(notices.size()) == page.size) {
    response->set_next_page_token(
        db::EncodePageToken(page.scope, {notices.back().manufacturer, notices.back().id}));
  }
  return absl::OkStatus();
}

}  // namespace countersign::liaison
