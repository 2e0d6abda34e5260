#include "services/liaison/clients/backend_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/worker/periodic.h"
#include "countersign/manufacturer/v1/manufacturer.grpc.pb.h"
#include "services/liaison/domain/names.h"

namespace countersign::liaison {

namespace v1 = manufacturer::v1;

namespace {

constexpr size_t kMaxReleases = 10'000;
constexpr int64_t kMinimumBytesPerSecond = 16 << 10;

}  // namespace

struct BackendClient::State {
  CallGroup& calls;
  std::unique_ptr<v1::ManufacturerService::Stub> stub;
};

BackendClient::BackendClient(const rpc::Dialer& dialer, CallGroup& calls, absl::string_view manufacturer,
                             absl::string_view address)
    : state_(new State{calls, v1::ManufacturerService::NewStub(dialer.Dial(
                                  address, {rpc::Role::kManufacturer, std::string(manufacturer)}))}) {}

BackendClient::~BackendClient() = default;

absl::StatusOr<std::vector<v1::OfferedRelease>> BackendClient::ListReleases(absl::Time deadline) {
  std::vector<v1::OfferedRelease> releases;
  v1::ListReleasesRequest request;
  do {
    v1::ListReleasesResponse response;
    rpc::CallContext context(deadline);
    const CallGroup::Member member(state_->calls, context.get());
    RETURN_IF_ERROR(rpc::FromGrpc(state_->stub->ListReleases(context.get(), request, &response)));
    for (v1::OfferedRelease& release : *response.mutable_releases()) releases.push_back(std::move(release));
    // A page without releases that promises more would go on for ever.
    const bool endless = response.releases().empty() && !response.next_page_token().empty();
    if (releases.size() > kMaxReleases || endless) {
      return Error(
          absl::StatusCode::kResourceExhausted, "TOO_MANY_RELEASES",
          absl::StrCat("the backend offers more than ", kMaxReleases, " releases, or pages without any"));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return releases;
}

absl::StatusOr<std::optional<std::string>> BackendClient::GetRoleMetadata(absl::Time deadline) {
  v1::GetRoleMetadataResponse response;
  rpc::CallContext context(deadline);
  const CallGroup::Member member(state_->calls, context.get());
  const absl::Status status = rpc::FromGrpc(state_->stub->GetRoleMetadata(context.get(), {}, &response));
  if (absl::IsNotFound(status)) return std::nullopt;
  RETURN_IF_ERROR(status);
  return std::move(*response.mutable_metadata());
}

absl::Status BackendClient::DownloadImage(absl::string_view sha256, int64_t offset,
                                          absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                          absl::Time deadline, absl::Duration stall_window) {
  v1::DownloadImageRequest request;
  request.set_sha256(std::string(sha256));
  request.set_offset(offset);
  rpc::CallContext context(deadline);
  const CallGroup::Member member(state_->calls, context.get());
  const auto reader = state_->stub->DownloadImage(context.get(), request);
  v1::DownloadImageResponse response;
  absl::Status taken;
  std::atomic<int64_t> received = 0;
  std::atomic<bool> stalled = false;
  {
    const int64_t wanted = kMinimumBytesPerSecond * absl::ToDoubleSeconds(stall_window);
    int64_t seen = -wanted;  // the first round is at once
    const Periodic guard("download from a backend", stall_window, [&] {
      const int64_t now = received;
      if (now - seen < wanted && !stalled.exchange(true)) context->TryCancel();
      seen = now;
      return absl::OkStatus();
    });
    while (taken.ok() && reader->Read(&response)) {
      received += response.data().size();
      taken = sink(response.data());
    }
  }
  if (!taken.ok()) context->TryCancel();
  const absl::Status ended = rpc::FromGrpc(reader->Finish());
  if (taken.ok() && stalled && !ended.ok()) {
    return Error(absl::StatusCode::kDeadlineExceeded, "BACKEND_STALLED",
                 absl::StrCat("the backend sent less than ", kMinimumBytesPerSecond, " bytes a second for ",
                              absl::FormatDuration(stall_window)));
  }
  return taken.ok() ? ended : taken;
}

absl::Status BackendClient::ReceiveNotice(const domain::Notice& notice, absl::Time deadline) {
  v1::ReceiveNoticeRequest request;
  request.set_name(domain::FormatNoticeName(notice.manufacturer, notice.id));
  request.set_kind(static_cast<v1::ReceiveNoticeRequest::Kind>(notice.kind));
  for (const std::string& model : notice.models) request.add_models(model);
  request.set_text(notice.text);
  v1::ReceiveNoticeResponse response;
  rpc::CallContext context(deadline);
  const CallGroup::Member member(state_->calls, context.get());
  return rpc::FromGrpc(state_->stub->ReceiveNotice(context.get(), request, &response));
}

}  // namespace countersign::liaison
