#include "services/rollout/clients/liaison_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "countersign/liaison/v1/liaison.grpc.pb.h"
#include "services/rollout/domain/rollout.h"

namespace countersign::rollout {
namespace {

using liaison::v1::LiaisonService;

absl::Status ReleaseUnknown(const std::string& name, absl::string_view why) {
  return Error(
      absl::StatusCode::kInvalidArgument, "RELEASE_UNKNOWN",
      absl::StrCat(name, " cannot be rolled out: ", why, "; ListReleases of liaison tells which there are."),
      {{"release", name}});
}

std::string KindName(common::v1::UpdateKind kind) {
  return std::string(absl::StripPrefix(common::v1::UpdateKind_Name(kind), "UPDATE_KIND_"));
}

absl::StatusOr<Release> ReleaseOf(const liaison::v1::Release& proto, const std::string& name) {
  const common::v1::ReleaseInfo& info = proto.info();
  const std::optional<std::string> manufacturer = ManufacturerOf(name);
  if (!manufacturer.has_value()) return ReleaseUnknown(name, "that is no name of a release");
  const absl::StatusOr<VersionFormat> format = VersionFormatOf(info.version_format());
  if (!format.ok()) return ReleaseUnknown(name, format.status().message());
  Release release;
  release.name = name;
  release.manufacturer = *manufacturer;
  release.image = {info.image().target_path(), info.image().length_bytes(), info.image().sha256()};
  release.version = info.version();
  release.version_format = *format;
  release.release_counter = info.release_counter();
  release.models.assign(info.models().begin(), info.models().end());
  release.hardware_ids.assign(info.hardware_ids().begin(), info.hardware_ids().end());
  release.minimum_installed_version = info.minimum_installed_version();
  release.kind = KindName(info.kind());
  release.info = info.SerializeAsString();
  return release;
}

}  // namespace

struct LiaisonClient::State {
  std::unique_ptr<LiaisonService::Stub> stub;
};

LiaisonClient::LiaisonClient(const rpc::Dialer& dialer, absl::string_view address)
    : state_(new State{LiaisonService::NewStub(dialer.Dial(address, {rpc::Role::kService, "liaison"}))}) {}

LiaisonClient::~LiaisonClient() = default;

absl::StatusOr<Release> LiaisonClient::GetRelease(const std::string& name, absl::Time deadline) {
  liaison::v1::GetReleaseRequest request;
  request.set_name(name);
  liaison::v1::Release response;
  rpc::CallContext context(deadline);
  const absl::Status status = rpc::FromGrpc(state_->stub->GetRelease(context.get(), request, &response));
  if (absl::IsNotFound(status) || absl::IsInvalidArgument(status))
    return ReleaseUnknown(name, "liaison has none");
  if (!status.ok()) {
    return Error(absl::StatusCode::kUnavailable, "LIAISON_UNAVAILABLE",
                 absl::StrCat("Liaison could not be asked about ", name,
                              "; try again. It answered: ", status.message()));
  }
  if (response.state() == liaison::v1::Release::STATE_WITHDRAWN) {
    return ReleaseUnknown(name, "its manufacturer took it back");
  }
  return ReleaseOf(response, name);
}

}  // namespace countersign::rollout
