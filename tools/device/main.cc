// device: one device as a process, with slots on disk, a key of its own, and a boot loader.
#include <fcntl.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/crypto/pkcs11/verifier.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/status/macros.h"
#include "tools/device/device.h"
#include "tools/device/program.h"
#include "tools/device/provision.h"
#include "tools/device/service.h"

namespace countersign::device {
namespace {

constexpr int kMaxMessageBytes = 16 << 20;  // the header carries the metadata of both repositories
constexpr int kMaxThreads = 64;
constexpr int kMaxStreams = 8;  // of one connection
constexpr absl::Duration kHealthCheckTimeout = absl::Seconds(30);

struct RunFlags {
  std::string folder, lan, director_root, image_root, health_check, readings, operation, card;
  std::optional<ApprovalPolicy> approval_policy;
};

// Keeps a second process off the device's folder. Until the process ends, or starts anew.
absl::Status Lock(const std::string& folder) {
  const int lock = open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot lock ", folder, ": ", strerror(errno), "; does the device run already?"));
  }
  return absl::OkStatus();
}

// The card that checks approvals; null without one.
absl::StatusOr<std::unique_ptr<crypto::Verifier>> OpenCard(const RunFlags& flags) {
  if (flags.card.empty()) {
    if (!flags.approval_policy.has_value()) return nullptr;
    return absl::InvalidArgumentError("--approval-policy: without a --card there is nothing to check with");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<crypto::pkcs11::Pkcs11Verifier> card,
                   crypto::pkcs11::Pkcs11Verifier::Open(flags.card));
  return card;
}

// Serves until a signal ends it, or returns true when the device is to reboot.
absl::StatusOr<bool> Serve(const RunFlags& flags, const sigset_t& signals) {
  RETURN_IF_ERROR(Lock(flags.folder));
  ASSIGN_OR_RETURN(const std::unique_ptr<crypto::Verifier> card, OpenCard(flags));
  Operation operation(flags.operation);
  Device::Options options;
  options.folder = flags.folder;
  ASSIGN_OR_RETURN(options.director_root, ReadFile(flags.director_root));
  ASSIGN_OR_RETURN(options.image_root, ReadFile(flags.image_root));
  if (!flags.health_check.empty()) {
    options.healthy = [&flags](const std::string& image) {
      return RunProgram({flags.health_check, image}, kHealthCheckTimeout).well;
    };
  }
  if (!flags.readings.empty()) options.readings = [&flags] { return ReadSensors(flags.readings); };
  options.card = card.get();
  options.approval_policy = flags.approval_policy.value_or(ApprovalPolicy::kReject);
  options.operate = [&operation](const Component& component, bool operates) {
    if (operates) {
      operation.Start(component.ecu_serial(), *component.running_image());
    } else {
      operation.Stop(component.ecu_serial());
    }
  };
  ASSIGN_OR_RETURN(std::unique_ptr<Device> device, Device::Boot(std::move(options)));

  DeviceService service(*device, SystemClock(), [] { kill(getpid(), SIGUSR1); });
  const std::string socket = absl::StrCat(flags.lan, "/", device->id(), ".sock");
  RETURN_IF_ERROR(RemoveFile(socket));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("unix:", socket), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // FOTA-R5: a flood of calls is refused before it eats the device.
  builder.SetResourceQuota(grpc::ResourceQuota("link").SetMaxThreads(kMaxThreads));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve at ", socket, ": is the path too long, or the folder missing?"));
  }
  for (const std::unique_ptr<Component>& component : device->components()) {
    log::Info("runs", {{"ecu_serial", component->ecu_serial()}, {"version", component->running().version}});
  }
  int signal = 0;
  sigwait(&signals, &signal);
  // The answer to the activation still goes out; a transfer is cut.
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  server->Wait();
  RETURN_IF_ERROR(RemoveFile(socket));
  return signal == SIGUSR1;
}

int Run(const RunFlags& flags, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const absl::StatusOr<bool> reboot = Serve(flags, signals);
  if (!reboot.ok()) {
    log::Error("the device does not start", {{"error", reboot.status().ToString()}});
    return 1;
  }
  if (!*reboot) return 0;
  execv("/proc/self/exe", argv);
  log::Error("the device cannot reboot", {});
  return 1;
}

}  // namespace
}  // namespace countersign::device

int main(int argc, char** argv) {
  using namespace countersign;
  CLI::App app("A device with two slots for each component, its own keys, and a boot loader that goes back.",
               "device");
  app.require_subcommand(1);

  device::Provisioning provisioning;
  std::vector<std::string> components;
  CLI::App* provision = app.add_subcommand("provision", "Make a device as it leaves the factory");
  provision->add_option("--dir", provisioning.folder, "folder of the device; must not exist")->required();
  provision->add_option("--device-id", provisioning.device_id, "id behind its gateway")->required();
  provision->add_option("--manufacturer", provisioning.manufacturer, "id of its manufacturer")->required();
  provision->add_option("--model", provisioning.model, "model")->required();
  provision->add_option("--hardware-version", provisioning.hardware_version, "version of the hardware")
      ->required();
  provision->add_option("--component", components, "ecu_serial:hardware_id; several with commas, or repeated")
      ->delimiter(',')
      ->required();
  provision->add_flag("--constrained", provisioning.constrained, "it can neither sign nor verify");
  provision
      ->add_option("--factory-image", provisioning.factory_image, "image that it leaves the factory with")
      ->required();
  provision->add_option("--factory-version", provisioning.factory_version, "version of that image")
      ->required();
  provision->add_option("--app-id", provisioning.app_id, "oneM2M App-ID");
  const std::map<std::string, crypto::KeyType> key_types = {{"ecdsa-p256", crypto::KeyType::kEcdsaP256},
                                                            {"ed25519", crypto::KeyType::kEd25519}};
  provision->add_option("--key-type", provisioning.key_type, "ecdsa-p256 or ed25519")
      ->transform(CLI::CheckedTransformer(key_types));
  std::vector<std::string> keys;
  provision->add_option(
      "--key", keys, "ecu_serial=key that is there already: a pkcs11: URI, or a PEM file; may be repeated");

  device::RunFlags flags;
  CLI::App* run = app.add_subcommand("run", "Run the device");
  run->add_option("--dir", flags.folder, "folder of the device")->required();
  run->add_option("--lan", flags.lan, "folder that stands for the local network")->required();
  run->add_option("--director-root", flags.director_root, "root metadata of the Director repository")
      ->required();
  run->add_option("--image-root", flags.image_root, "root metadata of the image repository")->required();
  run->add_option("--health-check", flags.health_check,
                  "program that says of an image, by its path, whether it is well");
  run->add_option("--readings", flags.readings,
                  "program that prints {\"parked\", \"externalPower\", \"batteryPercent\"}");
  run->add_option(
      "--operation", flags.operation,
      "program that is what a component does, called with its serial and image while it operates");
  run->add_option("--card", flags.card, "pkcs11: URI of the smart card that checks approvals");
  const std::map<std::string, device::ApprovalPolicy> policies = {
      {"reject", device::ApprovalPolicy::kReject}, {"ask-user", device::ApprovalPolicy::kAskUser}};
  run->add_option("--approval-policy", flags.approval_policy,
                  "reject (default) or ask-user: what to do when the approval cannot be checked")
      ->transform(CLI::CheckedTransformer(policies));
  CLI11_PARSE(app, argc, argv);

  if (*run) return device::Run(flags, argv);
  for (const std::string& component : components) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(component, absl::MaxSplits(':', 1));
    provisioning.components.push_back(parts);
  }
  for (const std::string& key : keys) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(key, absl::MaxSplits('=', 1));
    provisioning.keys.insert(parts);
  }
  provisioning.now = SystemClock().Now();
  if (const absl::Status status = device::Provision(provisioning); !status.ok()) {
    std::cerr << "device: " << status.message() << "\n";
    return 1;
  }
  return 0;
}
