#include "tools/device/service.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/update.h"
#include "tools/device/describe.h"
#include "tools/device/failure.h"

namespace countersign::device {
namespace {

MetadataFiles ToFiles(const google::protobuf::RepeatedPtrField<v1::MetadataFile>& files) {
  MetadataFiles result;
  for (const v1::MetadataFile& file : files) result.emplace(file.file_name(), file.content());
  return result;
}

// A transfer that gets no bytes for so long makes way for another.
constexpr absl::Duration kStandstill = absl::Seconds(10);

// How long a call waits for a transfer to end before it is refused.
constexpr absl::Duration kPatience = absl::Seconds(1);

absl::Status Malformed(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "TRANSFER_MALFORMED", what);
}

}  // namespace

grpc::Status DeviceService::GetDescription(grpc::ServerContext*, const v1::GetDescriptionRequest*,
                                           v1::GetDescriptionResponse* response) {
  absl::MutexLock lock(&mutex_);
  *response = Describe(device_);
  return grpc::Status::OK;
}

grpc::Status DeviceService::GetVersionReports(grpc::ServerContext*,
                                              const v1::GetVersionReportsRequest* request,
                                              v1::GetVersionReportsResponse* response) {
  absl::MutexLock lock(&mutex_);
  const inventory::v1::Device& description = device_.description();
  for (const std::unique_ptr<Component>& component : device_.components()) {
    const absl::StatusOr<trust::Envelope> report = component->Report(
        description.manufacturer(), description.model(), request->nonce(), device_.quarantined(*component));
    if (!report.ok()) return rpc::ToGrpc(report.status());
    response->add_reports(report->Serialise());
  }
  return grpc::Status::OK;
}

grpc::Status DeviceService::InstallImage(grpc::ServerContext* context,
                                         grpc::ServerReader<v1::InstallImageRequest>* reader,
                                         v1::InstallImageResponse* response) {
  v1::InstallImageRequest request;
  absl::Status status;
  if (!reader->Read(&request) || !request.has_header()) {
    status = Malformed("a transfer begins with its header");
  } else {
    status = BeginTransfer(context);
    // Nobody's verdict about the image.
    if (absl::IsUnavailable(status)) return rpc::ToGrpc(status);
    if (status.ok()) {
      status = Install(request.header(), *reader, *response);
      absl::MutexLock lock(&mutex_);
      transfer_ = nullptr;
    }
  }
  response->set_installed(status.ok());
  if (!status.ok()) {
    response->set_failure_reason(FailureReasonOf(status));
    response->set_failure_detail(std::string(status.message()));
    log::Warn("refused an installation", {{"reason", ReasonOf(status)}, {"detail", status.message()}});
  }
  return grpc::Status::OK;
}

absl::Status DeviceService::WaitForTransfer() {
  if (transfer_ != nullptr && clock_.Now() - last_bytes_ > kStandstill) transfer_->TryCancel();
  const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return transfer_ == nullptr; };
  // A gateway whose transfer was cut calls again before the device has noticed.
  if (!mutex_.AwaitWithTimeout(absl::Condition(&ended), kPatience)) {
    // Not FAILED_PRECONDITION: whoever transfers something in between must not end an update that is due.
    return Error(absl::StatusCode::kUnavailable, "BUSY",
                 "another transfer is under way: call again when it ends");
  }
  if (!rebooting_) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, "REBOOTING", "the device is about to boot: call again then");
}

absl::Status DeviceService::BeginTransfer(grpc::ServerContext* context) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(WaitForTransfer());
  transfer_ = context;
  last_bytes_ = clock_.Now();
  return absl::OkStatus();
}

absl::Status DeviceService::Install(const v1::InstallHeader& header,
                                    grpc::ServerReader<v1::InstallImageRequest>& reader,
                                    v1::InstallImageResponse& response) {
  const SlotContent offered = {.target_path = header.image().target_path(),
                               .length = header.image().length_bytes(),
                               .sha256 = header.image().sha256()};
  SlotContent content;
  const Component* component = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(component, device_.Find(header.ecu_serial()));
    ASSIGN_OR_RETURN(content, device_.Verify(*component, offered, ToFiles(header.director_metadata()),
                                             ToFiles(header.image_metadata())));
  }
  if (content.preconditions.any())
    RETURN_IF_ERROR(trust::CheckPreconditions(content.preconditions, Readings()));
  std::unique_ptr<Installation> installation;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(Component * target, device_.Find(header.ecu_serial()));
    ASSIGN_OR_RETURN(installation, target->BeginInstallation());
  }
  trust::ImageCheck check(content.length, content.sha256);
  v1::InstallImageRequest request;
  while (reader.Read(&request)) {
    if (request.part_case() != v1::InstallImageRequest::kData)
      return Malformed("after the header come bytes only");
    RETURN_IF_ERROR(check.Update(request.data()));
    RETURN_IF_ERROR(installation->Write(request.data()));
    absl::MutexLock lock(&mutex_);
    last_bytes_ = clock_.Now();
  }
  RETURN_IF_ERROR(check.Finish());
  absl::Time now;
  {
    absl::MutexLock lock(&mutex_);
    now = device_.time().Now();
    // Whoever waits for the card does not stand still.
    last_bytes_ = absl::InfiniteFuture();
  }
  const absl::Status approved = device_.CheckApproval(*component, header.approval_statement(), now, content);
  response.set_approval_result(ToApprovalResult(content.approval_result));
  RETURN_IF_ERROR(approved);
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(installation->Finish(content));
  response.set_confirmation_required(content.awaits_confirmation);
  log::Info(content.awaits_confirmation ? "installed into the inactive slot, and waits for the user"
                                        : "installed into the inactive slot",
            {{"ecu_serial", header.ecu_serial()},
             {"version", content.version},
             {"approval", content.approval_result}});
  return absl::OkStatus();
}

absl::Status DeviceService::WithComponent(const std::string& ecu_serial,
                                          const std::function<absl::Status(Component&)>& body) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(WaitForTransfer());
  ASSIGN_OR_RETURN(Component * component, device_.Find(ecu_serial));
  return body(*component);
}

trust::Readings DeviceService::Readings() {
  absl::MutexLock lock(&readings_mutex_);
  return device_.readings();
}

void DeviceService::Reboot() {
  rebooting_ = true;
  reboot_();
}

grpc::Status DeviceService::ConfirmImage(grpc::ServerContext*, const v1::ConfirmImageRequest* request,
                                         v1::ConfirmImageResponse*) {
  if (request->confirm() && (request->principal_id().empty() || request->principal_id().size() > 128)) {
    return rpc::ToGrpc(Error(absl::StatusCode::kInvalidArgument, "PRINCIPAL_INVALID",
                             "principal_id: say in 1 to 128 characters who confirms"));
  }
  return rpc::ToGrpc(WithComponent(request->ecu_serial(), [&](Component& component) -> absl::Status {
    RETURN_IF_ERROR(component.Confirm(request->sha256(), request->confirm(), request->principal_id(),
                                      device_.time().Now()));
    log::Warn(request->confirm() ? "the user wants an image whose approval could not be checked"
                                 : "the user does not want an image whose approval could not be checked",
              {{"ecu_serial", request->ecu_serial()}, {"sha256", request->sha256()}});
    return absl::OkStatus();
  }));
}

grpc::Status DeviceService::ActivateImage(grpc::ServerContext*, const v1::ActivateImageRequest* request,
                                          v1::ActivateImageResponse*) {
  if (request->bundle().size() > 128) {
    return rpc::ToGrpc(
        Error(absl::StatusCode::kInvalidArgument, "BUNDLE_INVALID", "bundle: at most 128 characters"));
  }
  const trust::Readings readings = Readings();
  return rpc::ToGrpc(WithComponent(
      request->ecu_serial(), [&](Component& component) ABSL_NO_THREAD_SAFETY_ANALYSIS -> absl::Status {
        RETURN_IF_ERROR(component.Activate(request->sha256(), request->bundle(), readings));
        log::Info("reboots into the new image",
                  {{"ecu_serial", request->ecu_serial()}, {"sha256", request->sha256()}});
        Reboot();
        return absl::OkStatus();
      }));
}

grpc::Status DeviceService::CommitImage(grpc::ServerContext*, const v1::CommitImageRequest* request,
                                        v1::CommitImageResponse*) {
  return rpc::ToGrpc(WithComponent(request->ecu_serial(), [&](Component& component) -> absl::Status {
    RETURN_IF_ERROR(component.Commit(request->sha256()));
    log::Info("runs for good", {{"ecu_serial", request->ecu_serial()}, {"sha256", request->sha256()}});
    return absl::OkStatus();
  }));
}

grpc::Status DeviceService::RevertImage(grpc::ServerContext*, const v1::RevertImageRequest* request,
                                        v1::RevertImageResponse*) {
  return rpc::ToGrpc(WithComponent(
      request->ecu_serial(), [&](Component& component) ABSL_NO_THREAD_SAFETY_ANALYSIS -> absl::Status {
        RETURN_IF_ERROR(component.Revert(request->sha256()));
        log::Info("reboots into the old image",
                  {{"ecu_serial", request->ecu_serial()}, {"sha256", request->sha256()}});
        Reboot();
        return absl::OkStatus();
      }));
}

grpc::Status DeviceService::GetReadings(grpc::ServerContext*, const v1::GetReadingsRequest*,
                                        v1::GetReadingsResponse* response) {
  const trust::Readings readings = Readings();
  if (readings.parked.has_value()) response->set_parked(*readings.parked);
  if (readings.external_power.has_value()) response->set_external_power(*readings.external_power);
  if (readings.battery_percent.has_value()) response->set_battery_percent(*readings.battery_percent);
  return grpc::Status::OK;
}

grpc::Status DeviceService::ApplyOrders(grpc::ServerContext*, const v1::ApplyOrdersRequest* request,
                                        v1::ApplyOrdersResponse* response) {
  absl::MutexLock lock(&mutex_);
  const absl::Status status = device_.ApplyOrders(ToFiles(request->director_metadata()));
  if (!status.ok()) {
    log::Warn("refused orders", {{"reason", ReasonOf(status)}, {"detail", status.message()}});
    return rpc::ToGrpc(status);
  }
  for (const std::unique_ptr<Component>& component : device_.components()) {
    if (device_.quarantined(*component)) response->add_quarantined(component->ecu_serial());
  }
  std::sort(response->mutable_quarantined()->begin(), response->mutable_quarantined()->end());
  return grpc::Status::OK;
}

}  // namespace countersign::device
