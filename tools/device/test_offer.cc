#include "tools/device/test_offer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include "common/crypto/digest.h"
#include "common/rpc/status_grpc.h"

namespace countersign::device {
namespace {

constexpr size_t kChunkBytes = 64 << 10;

void AddFiles(const std::map<std::string, std::string>& files,
              google::protobuf::RepeatedPtrField<v1::MetadataFile>& header) {
  for (const auto& [name, content] : files) {
    v1::MetadataFile& file = *header.Add();
    file.set_file_name(name);
    file.set_content(content);
  }
}

}  // namespace

TestOffer::TestOffer(absl::Time now) : images(now), director(now) {
  images.AddManufacturer("acme", {"acme/*", "acme/*/*"});
  images.AddManufacturer("acme-pending", {"pending/acme/*"});
}

void TestOffer::Release(absl::string_view bytes, int64_t release_counter, absl::string_view version) {
  image = std::string(bytes);
  approved() = trust::MakeTarget(image, release_counter, {kHardware, "lamp-b"}, version);
  ordered() = approved();
  ordered().custom.ecu_identifiers[kEcu] = {kHardware, "consent-1"};
  Publish();
}

void TestOffer::Publish() {
  images.Raise({"acme", "acme-pending"});
  images.Publish();
  director.Raise({"targets"});
  director.Publish();
}

v1::InstallHeader TestOffer::Header() const {
  v1::InstallHeader header;
  header.set_ecu_serial(kEcu);
  header.mutable_image()->set_target_path(path);
  header.mutable_image()->set_length_bytes(static_cast<int64_t>(image.size()));
  header.mutable_image()->set_sha256(crypto::Sha256Hex(image));
  AddFiles(director.files, *header.mutable_director_metadata());
  AddFiles(images.files, *header.mutable_image_metadata());
  header.set_approval_statement(approval);
  return header;
}

trust::ApprovalStatement TestOffer::Statement(absl::Time now) const {
  const trust::TargetFile& target = images.delegated.at("acme").targets.at(path);
  return {.sha256 = target.sha256,
          .target_path = path,
          .role_version = images.delegated.at("acme").version,
          .hardware_ids = target.custom.hardware_ids,
          .release_counter = *target.custom.release_counter,
          .valid_from = now,
          .valid_until = now + absl::Hours(24)};
}

absl::StatusOr<v1::InstallImageResponse> Transfer(v1::DeviceService::StubInterface& device,
                                                  const v1::InstallHeader& header, absl::string_view image) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  v1::InstallImageResponse response;
  const std::unique_ptr<grpc::ClientWriterInterface<v1::InstallImageRequest>> writer =
      device.InstallImage(&context, &response);
  v1::InstallImageRequest request;
  *request.mutable_header() = header;
  bool open = writer->Write(request);
  while (open && !image.empty()) {
    const size_t size = std::min(kChunkBytes, image.size());
    request.set_data(std::string(image.substr(0, size)));
    image.remove_prefix(size);
    open = writer->Write(request);
  }
  writer->WritesDone();
  if (const grpc::Status status = writer->Finish(); !status.ok()) return rpc::FromGrpc(status);
  return response;
}

}  // namespace countersign::device
