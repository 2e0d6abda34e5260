// A device with two equal components behind the service that its gateway talks to, in the test's process.
#ifndef COUNTERSIGN_TOOLS_DEVICE_TEST_DEVICE_H_
#define COUNTERSIGN_TOOLS_DEVICE_TEST_DEVICE_H_

#include <grpcpp/server.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/testing/fake_clock.h"
#include "common/trust/preconditions.h"
#include "common/trust/report.h"
#include "gtest/gtest.h"
#include "tools/device/provision.h"
#include "tools/device/service.h"
#include "tools/device/test_offer.h"

namespace countersign::device {

inline constexpr char kFactoryImage[] = "the image that it left the factory with";
inline constexpr char kOtherEcu[] = "ecu-2";

class DeviceTest : public ::testing::Test {
 protected:
  // `provisioning` may set constrained, keys and now.
  explicit DeviceTest(Provisioning provisioning = {});
  ~DeviceTest() override;

  void Halt();
  // Off and on again: what survives is what is on disk.
  void Boot(bool healthy = true);

  const Component& component(const std::string& serial = kEcu) { return **device_->Find(serial); }
  std::string ComponentFolder() const { return folder_ + "/device/components/" + kEcu; }

  // Every file of the component but those of the inactive slot, and the report counter.
  std::map<std::string, std::string> WhatMustNotChange();

  v1::InstallImageResponse Send(const v1::InstallHeader& header, absl::string_view image);
  v1::InstallImageResponse Send() { return Send(offer_.Header(), offer_.image); }
  // Sends the messages as they are, whatever their order.
  v1::InstallImageResponse SendRaw(const std::vector<v1::InstallImageRequest>& messages);

  absl::Status Activate(const std::string& sha256, const std::string& serial = kEcu,
                        const std::string& bundle = "");
  absl::Status Activate() { return Activate(offer_.approved().sha256); }
  absl::Status Confirm(const std::string& sha256, bool confirm, const std::string& who = "user-1");
  absl::Status Commit(const std::string& sha256);
  absl::Status Revert(const std::string& sha256);
  // Of the Director as it stands, or as `files` have it.
  absl::StatusOr<std::vector<std::string>> ApplyOrders();
  absl::StatusOr<std::vector<std::string>> ApplyOrders(const std::map<std::string, std::string>& files);

  v1::GetDescriptionResponse DescribeAll();
  v1::ComponentDescription Describe() { return DescribeAll().components(0); }
  std::vector<std::string> Reports(const std::string& nonce);
  // The first component's report, verified as the server does it.
  absl::StatusOr<trust::VersionReport> VerifiedReport(const std::string& nonce, int64_t last_counter);
  // The next one.
  trust::VersionReport Report();

  void ExpectInstalls();
  // What is offered is refused for `reason`; nothing runs or will run that did not before.
  void ExpectRefused(common::v1::FailureReason reason, const v1::InstallHeader& header,
                     absl::string_view image);
  void ExpectRefused(common::v1::FailureReason reason) {
    ExpectRefused(reason, offer_.Header(), offer_.image);
  }
  // The metadata is accepted, and remembered; the slot stays empty, since other bytes follow.
  void ExpectOnlyBytesRefused() {
    ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), "other bytes");
  }
  // The offer goes through once more: what came before did no harm.
  void ExpectWorks();
  // How the last trial ended.
  void ExpectEnd(common::v1::UpdatePhase phase, common::v1::FailureReason reason, const std::string& sha256);

  FakeClock clock_;
  TestOffer offer_;
  std::string folder_;
  // For the next boot.
  const crypto::Verifier* card_ = nullptr;
  ApprovalPolicy policy_ = ApprovalPolicy::kReject;
  trust::Readings readings_;              // what its sensors say, at any time
  std::map<std::string, bool> operates_;  // what its components do
  std::vector<std::string> checked_;      // images whose health was asked for
  int boots_ = 0;
  int reboots_ = 0;  // asked for
  int reports_ = 0;
  int64_t last_counter_ = 0;
  std::unique_ptr<Device> device_;
  std::unique_ptr<DeviceService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::DeviceService::Stub> stub_;
};

// Does to the byte in the middle of the file at `path` what time does to flash.
void Damage(const std::string& path);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_TEST_DEVICE_H_
