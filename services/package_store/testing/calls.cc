#include "services/package_store/testing/calls.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/rpc/channel.h"
#include "common/status/macros.h"
#include "grpcpp/grpcpp.h"

namespace countersign::package_store::testing {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr absl::Duration kTimeout = absl::Seconds(30);

}  // namespace

absl::Status PublishRoot(Stub& stub, const std::string& metadata) {
  v1::PublishRootRequest request;
  request.set_metadata(metadata);
  v1::MetadataFile file;
  rpc::CallContext context(kTimeout);
  return rpc::FromGrpc(stub.PublishRoot(context.get(), request, &file));
}

absl::Status PublishTargets(Stub& stub, const std::string& metadata) {
  v1::PublishTargetsRequest request;
  request.set_metadata(metadata);
  v1::MetadataFile file;
  rpc::CallContext context(kTimeout);
  return rpc::FromGrpc(stub.PublishTargets(context.get(), request, &file));
}

absl::Status PublishPending(Stub& stub, absl::string_view manufacturer, const std::string& metadata) {
  v1::PublishPendingRequest request;
  request.set_parent(absl::StrCat("manufacturers/", manufacturer));
  request.set_metadata(metadata);
  v1::MetadataFile file;
  rpc::CallContext context(kTimeout);
  return rpc::FromGrpc(stub.PublishPending(context.get(), request, &file));
}

absl::StatusOr<v1::Upload> CreateUpload(Stub& stub, absl::string_view manufacturer,
                                        const std::string& content) {
  v1::CreateUploadRequest request;
  request.set_parent(absl::StrCat("manufacturers/", manufacturer));
  request.mutable_upload()->set_length_bytes(content.size());
  request.mutable_upload()->set_sha256(crypto::Sha256Hex(content));
  v1::Upload upload;
  rpc::CallContext context(kTimeout);
  RETURN_IF_ERROR(rpc::FromGrpc(stub.CreateUpload(context.get(), request, &upload)));
  return upload;
}

absl::StatusOr<v1::Upload> SendUpload(Stub& stub, const v1::Upload& upload, const std::string& content) {
  if (upload.state() == v1::Upload::STATE_COMPLETE) return upload;
  rpc::CallContext context(kTimeout);
  v1::Upload result;
  const auto writer = stub.WriteUpload(context.get(), &result);
  v1::WriteUploadRequest chunk;
  chunk.set_name(upload.name());
  for (size_t offset = upload.committed_bytes(); offset < content.size(); offset += chunk.data().size()) {
    chunk.set_offset(offset);
    chunk.set_data(content.substr(offset, kChunkBytes));
    if (!writer->Write(chunk)) break;
  }
  writer->WritesDone();
  RETURN_IF_ERROR(rpc::FromGrpc(writer->Finish()));
  return result;
}

absl::StatusOr<v1::Upload> Upload(Stub& stub, absl::string_view manufacturer, const std::string& content) {
  ASSIGN_OR_RETURN(const v1::Upload upload, CreateUpload(stub, manufacturer, content));
  return SendUpload(stub, upload, content);
}

absl::StatusOr<v1::Proposal> Propose(Stub& stub, absl::string_view manufacturer, const std::string& metadata,
                                     const std::string& request_id) {
  v1::CreateProposalRequest request;
  request.set_parent(absl::StrCat("manufacturers/", manufacturer));
  request.set_metadata(metadata);
  request.set_request_id(request_id.empty() ? crypto::Uuid() : request_id);
  v1::Proposal proposal;
  rpc::CallContext context(kTimeout);
  RETURN_IF_ERROR(rpc::FromGrpc(stub.CreateProposal(context.get(), request, &proposal)));
  return proposal;
}

absl::StatusOr<v1::Proposal> Approve(Stub& stub, const v1::ApproveProposalRequest& request) {
  v1::Proposal proposal;
  rpc::CallContext context(kTimeout);
  RETURN_IF_ERROR(rpc::FromGrpc(stub.ApproveProposal(context.get(), request, &proposal)));
  return proposal;
}

}  // namespace countersign::package_store::testing
