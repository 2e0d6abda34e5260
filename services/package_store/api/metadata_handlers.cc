#include "common/status/macros.h"
#include "services/package_store/api/convert.h"
#include "services/package_store/api/package_store_api.h"
#include "services/package_store/domain/names.h"

namespace countersign::package_store {

absl::Status PackageStoreApi::PublishRoot(const rpc::Call&, const v1::PublishRootRequest& request,
                                          v1::MetadataFile* response) {
  ASSIGN_OR_RETURN(const MetadataFile file,
                   parts_.publications.PublishRoot(request.metadata(), parts_.clock.Now()));
  *response = ToProto(file);
  return absl::OkStatus();
}

absl::Status PackageStoreApi::PublishTargets(const rpc::Call& call, const v1::PublishTargetsRequest& request,
                                             v1::MetadataFile* response) {
  ASSIGN_OR_RETURN(
      const MetadataFile file,
      parts_.publications.PublishTargets(request.metadata(), call.identity().ToString(), parts_.clock.Now()));
  parts_.tail.Nudge();
  *response = ToProto(file);
  return absl::OkStatus();
}

absl::Status PackageStoreApi::PublishPending(const rpc::Call& call, const v1::PublishPendingRequest& request,
                                             v1::MetadataFile* response) {
  ASSIGN_OR_RETURN(const std::string manufacturer, ParseManufacturer(request.parent()));
  RETURN_IF_ERROR(CheckOwn(call.identity(), manufacturer));
  ASSIGN_OR_RETURN(const MetadataFile file,
                   parts_.publications.PublishPending(manufacturer, request.metadata(), parts_.clock.Now()));
  *response = ToProto(file);
  return absl::OkStatus();
}

void PackageStoreApi::GetMetadata(const rpc::Call&, const v1::GetMetadataRequest& request,
                                  v1::MetadataFile* response, rpc::Done done) {
  if (const absl::Status status = CheckMetadataFileName(request.file_name()); !status.ok())
    return done(status);
  response->set_file_name(request.file_name());
  files_.Get(request.file_name(), [response, done](const absl::StatusOr<MetadataFiles::Content>& content) {
    if (content.ok()) response->set_content(**content);
    done(content.status());
  });
}

absl::Status PackageStoreApi::GetLogFile(const rpc::Call&, const v1::GetLogFileRequest& request,
                                         v1::LogFile* response) {
  ASSIGN_OR_RETURN(*response->mutable_content(), parts_.log.GetFile(request.path()));
  response->set_path(request.path());
  return absl::OkStatus();
}

}  // namespace countersign::package_store
