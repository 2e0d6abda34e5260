// The device as its gateway and its power supply see it: the real program, its socket, and signals.
#ifndef COUNTERSIGN_TOOLS_DEVICE_TEST_PROCESS_H_
#define COUNTERSIGN_TOOLS_DEVICE_TEST_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/trust/report.h"
#include "gtest/gtest.h"
#include "tools/device/test_offer.h"

namespace countersign::device {

inline constexpr char kFactoryImage[] = "the image that it left the factory with";
inline constexpr absl::Duration kPatience = absl::Seconds(30);

// Starts `command`, and ends it with what waitpid() says.
pid_t Spawn(std::vector<std::string> command);

class ProcessTest : public ::testing::Test {
 protected:
  // Provisions the device, with more flags.
  explicit ProcessTest(std::vector<std::string> flags = {});
  ~ProcessTest() override;

  // `device run`, with more flags.
  void Start(std::vector<std::string> flags = {});
  // Ends the process, and returns what waitpid() says of it.
  int Kill(int signal);
  int Wait();

  // A connection of its own each time: none remembers that the device was away.
  std::unique_ptr<v1::DeviceService::Stub> Connect();
  std::string Socket() const { return folder_ + "/lan/lamp.sock"; }
  std::string ComponentFolder() const { return folder_ + "/device/components/" + kEcu; }

  absl::StatusOr<v1::ComponentDescription> Describe();
  // Asks until `done` is content with the answer, or the process has ended.
  bool Await(const std::function<bool(const v1::ComponentDescription&)>& done);
  bool AwaitUp();
  bool AwaitEndOfTrial(common::v1::UpdatePhase phase, const std::string& sha256);

  // A report as the server takes it: signed, with its nonce, and its counter above every one before.
  absl::StatusOr<trust::VersionReport> Report();
  absl::Status Activate(const std::string& sha256, const std::string& bundle = "");
  absl::Status Commit(const std::string& sha256);
  absl::Status Revert(const std::string& sha256);
  absl::Status Confirm(const std::string& sha256);
  // Transfers what is on offer and has it booted.
  void InstallAndActivate();

  std::string folder_;
  TestOffer offer_;
  std::optional<crypto::PublicKey> key_;
  pid_t child_ = 0;
  int nonces_ = 0;
  int64_t last_counter_ = 0;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_TEST_PROCESS_H_
