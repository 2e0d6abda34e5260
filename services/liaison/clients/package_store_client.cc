#include "services/liaison/clients/package_store_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"

namespace countersign::liaison {

namespace v1 = package_store::v1;

namespace {

std::string UploadName(absl::string_view manufacturer, absl::string_view sha256) {
  return absl::StrCat("manufacturers/", manufacturer, "/uploads/", sha256);
}

// The same UUID for the same bytes of the same manufacturer, so that a proposal that is repeated is known.
std::string RequestIdOf(absl::string_view manufacturer, absl::string_view metadata) {
  const std::string hex = crypto::Sha256Hex(absl::StrCat(manufacturer, "\n", metadata));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-8", hex.substr(13, 3), "-8",
                      hex.substr(17, 3), "-", hex.substr(20, 12));
}

}  // namespace

struct PackageStoreClient::State {
  CallGroup& calls;
  std::unique_ptr<v1::PackageStoreService::Stub> stub;
};

PackageStoreClient::PackageStoreClient(const rpc::Dialer& dialer, CallGroup& calls, absl::string_view address)
    : state_(new State{calls, v1::PackageStoreService::NewStub(
                                  dialer.Dial(address, {rpc::Role::kService, "package-store"}))}) {}

PackageStoreClient::~PackageStoreClient() = default;

absl::StatusOr<std::optional<int64_t>> PackageStoreClient::StoredLength(absl::string_view manufacturer,
                                                                        absl::string_view sha256,
                                                                        absl::Time deadline) {
  v1::GetUploadRequest request;
  request.set_name(UploadName(manufacturer, sha256));
  v1::Upload upload;
  rpc::CallContext context(deadline);
  const absl::Status status = rpc::FromGrpc(state_->stub->GetUpload(context.get(), request, &upload));
  if (absl::IsNotFound(status)) return std::nullopt;
  RETURN_IF_ERROR(status);
  if (upload.state() != v1::Upload::STATE_COMPLETE) return std::nullopt;
  return upload.length_bytes();
}

absl::Status PackageStoreClient::EnsureImage(absl::string_view manufacturer, absl::string_view sha256,
                                             int64_t length, Source source, absl::Time deadline) {
  v1::CreateUploadRequest create;
  create.set_parent(absl::StrCat("manufacturers/", manufacturer));
  create.mutable_upload()->set_sha256(std::string(sha256));
  create.mutable_upload()->set_length_bytes(length);
  v1::Upload upload;
  rpc::CallContext create_context(deadline);
  const CallGroup::Member create_member(state_->calls, create_context.get());
  RETURN_IF_ERROR(rpc::FromGrpc(state_->stub->CreateUpload(create_context.get(), create, &upload)));
  if (upload.state() == v1::Upload::STATE_COMPLETE) return absl::OkStatus();

  rpc::CallContext context(deadline);
  const CallGroup::Member member(state_->calls, context.get());
  v1::Upload after;
  const auto writer = state_->stub->WriteUpload(context.get(), &after);
  v1::WriteUploadRequest request;
  request.set_name(upload.name());
  int64_t offset = upload.committed_bytes();
  bool store_ended = false;
  const absl::Status read = source(offset, [&](absl::string_view data) -> absl::Status {
    if (offset + static_cast<int64_t>(data.size()) > length) {
      return Error(absl::StatusCode::kOutOfRange, "LENGTH_EXCEEDED",
                   absl::StrCat("the backend sends more than the ", length, " bytes that it promised"));
    }
    request.set_offset(offset);
    request.set_data(data.data(), data.size());
    offset += data.size();
    if (writer->Write(request)) return absl::OkStatus();
    store_ended = true;
    return absl::UnavailableError("the package store ended the upload");
  });
  writer->WritesDone();
  const absl::Status written = rpc::FromGrpc(writer->Finish());
  // Why the store ended it says more than that it did; what the source lacks is not the store's to say.
  if (!store_ended) RETURN_IF_ERROR(read);
  RETURN_IF_ERROR(written);
  RETURN_IF_ERROR(read);
  if (after.state() == v1::Upload::STATE_COMPLETE) return absl::OkStatus();
  return Error(absl::StatusCode::kDataLoss, "LENGTH_MISMATCH",
               absl::StrCat("the backend sent ", offset, " of the ", length, " bytes that it promised"));
}

absl::Status PackageStoreClient::Propose(absl::string_view manufacturer, absl::string_view metadata,
                                         absl::Time deadline) {
  v1::CreateProposalRequest request;
  request.set_parent(absl::StrCat("manufacturers/", manufacturer));
  request.set_metadata(std::string(metadata));
  request.set_request_id(RequestIdOf(manufacturer, metadata));
  v1::Proposal proposal;
  rpc::CallContext context(deadline);
  const CallGroup::Member member(state_->calls, context.get());
  return rpc::FromGrpc(state_->stub->CreateProposal(context.get(), request, &proposal));
}

}  // namespace countersign::liaison
