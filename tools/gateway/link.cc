#include "tools/gateway/link.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "countersign/device/v1/device.grpc.pb.h"

namespace countersign::gateway {
namespace {

namespace v1 = countersign::device::v1;
using v1::DeviceService;

constexpr absl::string_view kSuffix = ".sock";
constexpr absl::Duration kCallTimeout = absl::Seconds(10);
// What a device knows by heart. Who does not say it in time is silent, and holds up its neighbours no longer.
constexpr absl::Duration kDescriptionTimeout = absl::Seconds(3);
// A transfer that is slower than this has been cut, whatever the connection says.
constexpr absl::Duration kInstallBase = absl::Minutes(1);
constexpr int64_t kInstallBytesPerSecond = 64 << 10;
constexpr size_t kChunkBytes = 256 << 10;
constexpr int kMaxAnswerBytes = 1 << 20;

std::shared_ptr<grpc::Channel> Connect(const std::string& path) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  // A connection of its own: otherwise gRPC would share it, and its back-off, with that to the device before
  // it rebooted.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(),
                                   arguments);
}

absl::Status Nonsense(absl::string_view device_id, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "DEVICE_NONSENSE",
               absl::StrCat("what answers as device ", device_id, " ", what));
}

}  // namespace

absl::StatusOr<std::vector<Socket>> ListSockets(const std::string& folder) {
  std::vector<Socket> sockets;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    struct stat status;
    if (name.size() <= kSuffix.size() || name.substr(name.size() - kSuffix.size()) != kSuffix ||
        stat(entry.path().c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
      continue;
    }
    sockets.push_back(
        {.device_id = name.substr(0, name.size() - kSuffix.size()),
         .path = entry.path().string(),
         .instance = absl::StrCat(status.st_ino, ".", status.st_ctim.tv_sec, ".", status.st_ctim.tv_nsec)});
  }
  if (error)
    return absl::NotFoundError(absl::StrCat("cannot list the local network ", folder, ": ", error.message()));
  std::sort(sockets.begin(), sockets.end(),
            [](const Socket& a, const Socket& b) { return a.device_id < b.device_id; });
  return sockets;
}

DeviceLink::DeviceLink(const Socket& socket) : device_id_(socket.device_id), channel_(Connect(socket.path)) {}

absl::StatusOr<v1::GetDescriptionResponse> DeviceLink::GetDescription() {
  rpc::CallContext context(kDescriptionTimeout);
  v1::GetDescriptionResponse response;
  RETURN_IF_ERROR(rpc::FromGrpc(DeviceService::NewStub(channel_)->GetDescription(
      context.get(), v1::GetDescriptionRequest(), &response)));
  if (response.device_id() != device_id_) {
    return Nonsense(device_id_, absl::StrCat("calls itself ", response.device_id().substr(0, 64)));
  }
  if (response.components_size() > kMaxComponents) return Nonsense(device_id_, "has too many components");
  for (const v1::ComponentDescription& component : response.components()) {
    if (component.ecu_serial().empty())
      return Nonsense(device_id_, "has a component without a serial number");
  }
  return response;
}

absl::StatusOr<std::vector<std::string>> DeviceLink::GetVersionReports(absl::string_view nonce) {
  rpc::CallContext context(kCallTimeout);
  v1::GetVersionReportsRequest request;
  request.set_nonce(std::string(nonce));
  v1::GetVersionReportsResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(DeviceService::NewStub(channel_)->GetVersionReports(context.get(), request, &response)));
  if (response.reports_size() > kMaxComponents) return Nonsense(device_id_, "gives too many reports");
  for (const std::string& report : response.reports()) {
    if (report.size() > kMaxReportBytes) return Nonsense(device_id_, "gives a report that is too long");
  }
  return std::vector<std::string>(response.reports().begin(), response.reports().end());
}

absl::StatusOr<v1::InstallImageResponse> DeviceLink::InstallImage(const v1::InstallHeader& header,
                                                                  const std::string& image_path) {
  std::ifstream image(image_path, std::ios::binary);
  if (!image) return absl::InternalError(absl::StrCat("cannot read ", image_path));
  rpc::CallContext context(kInstallBase +
                           absl::Seconds(header.image().length_bytes() / kInstallBytesPerSecond));
  v1::InstallImageResponse response;
  const auto writer = DeviceService::NewStub(channel_)->InstallImage(context.get(), &response);
  v1::InstallImageRequest request;
  *request.mutable_header() = header;
  bool reading = writer->Write(request);
  std::string chunk(kChunkBytes, '\0');
  while (reading && (image.read(chunk.data(), chunk.size()), image.gcount() > 0)) {
    request.set_data(chunk.data(), image.gcount());
    reading = writer->Write(request);
  }
  writer->WritesDone();
  RETURN_IF_ERROR(rpc::FromGrpc(writer->Finish()));
  return response;
}

absl::Status DeviceLink::ActivateImage(absl::string_view ecu_serial, absl::string_view sha256,
                                       absl::string_view bundle) {
  rpc::CallContext context(kCallTimeout);
  v1::ActivateImageRequest request;
  request.set_ecu_serial(std::string(ecu_serial));
  request.set_sha256(std::string(sha256));
  request.set_bundle(std::string(bundle));
  v1::ActivateImageResponse response;
  return rpc::FromGrpc(DeviceService::NewStub(channel_)->ActivateImage(context.get(), request, &response));
}

absl::Status DeviceLink::ConfirmImage(absl::string_view ecu_serial, absl::string_view sha256, bool confirm,
                                      absl::string_view principal_id) {
  rpc::CallContext context(kCallTimeout);
  v1::ConfirmImageRequest request;
  request.set_ecu_serial(std::string(ecu_serial));
  request.set_sha256(std::string(sha256));
  request.set_confirm(confirm);
  request.set_principal_id(std::string(principal_id));
  v1::ConfirmImageResponse response;
  return rpc::FromGrpc(DeviceService::NewStub(channel_)->ConfirmImage(context.get(), request, &response));
}

absl::Status DeviceLink::CommitImage(absl::string_view ecu_serial, absl::string_view sha256) {
  rpc::CallContext context(kCallTimeout);
  v1::CommitImageRequest request;
  request.set_ecu_serial(std::string(ecu_serial));
  request.set_sha256(std::string(sha256));
  v1::CommitImageResponse response;
  return rpc::FromGrpc(DeviceService::NewStub(channel_)->CommitImage(context.get(), request, &response));
}

absl::Status DeviceLink::RevertImage(absl::string_view ecu_serial, absl::string_view sha256) {
  rpc::CallContext context(kCallTimeout);
  v1::RevertImageRequest request;
  request.set_ecu_serial(std::string(ecu_serial));
  request.set_sha256(std::string(sha256));
  v1::RevertImageResponse response;
  return rpc::FromGrpc(DeviceService::NewStub(channel_)->RevertImage(context.get(), request, &response));
}

absl::StatusOr<trust::Readings> DeviceLink::GetReadings() {
  rpc::CallContext context(kDescriptionTimeout);
  v1::GetReadingsResponse response;
  RETURN_IF_ERROR(rpc::FromGrpc(
      DeviceService::NewStub(channel_)->GetReadings(context.get(), v1::GetReadingsRequest(), &response)));
  trust::Readings readings;
  if (response.has_parked()) readings.parked = response.parked();
  if (response.has_external_power()) readings.external_power = response.external_power();
  if (response.has_battery_percent() && response.battery_percent() >= 0 &&
      response.battery_percent() <= 100) {
    readings.battery_percent = response.battery_percent();
  }
  return readings;
}

absl::StatusOr<std::set<std::string>> DeviceLink::ApplyOrders(const v1::ApplyOrdersRequest& orders) {
  rpc::CallContext context(kCallTimeout);
  v1::ApplyOrdersResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(DeviceService::NewStub(channel_)->ApplyOrders(context.get(), orders, &response)));
  if (response.quarantined_size() > kMaxComponents) return Nonsense(device_id_, "stops too many components");
  return std::set<std::string>(response.quarantined().begin(), response.quarantined().end());
}

}  // namespace countersign::gateway
