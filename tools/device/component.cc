#include "tools/device/component.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/report.h"

namespace countersign::device {
namespace {

using nlohmann::json;

constexpr mode_t kPrivateMode = 0600;

absl::StatusOr<json> ReadJson(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object()) return parsed;
  return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED", absl::StrCat(path, " is not a JSON object"));
}

absl::StatusOr<SlotContent> ReadSlot(const std::string& folder) {
  ASSIGN_OR_RETURN(const json slot, ReadJson(absl::StrCat(folder, "/slot.json")));
  SlotContent content;
  content.target_path = slot.value("target_path", "");
  content.length = slot.value("length", int64_t{0});
  content.sha256 = slot.value("sha256", "");
  content.version = slot.value("version", "");
  content.release_counter = slot.value("release_counter", int64_t{0});
  content.tried = slot.value("tried", true);
  return content;
}

absl::Status WriteSlot(const std::string& folder, const SlotContent& content) {
  const json slot = {{"target_path", content.target_path},
                     {"length", content.length},
                     {"sha256", content.sha256},
                     {"version", content.version},
                     {"release_counter", content.release_counter},
                     {"tried", content.tried}};
  return WriteFileAtomically(absl::StrCat(folder, "/slot.json"), slot.dump());
}

// Length and digest of an image as it is on disk.
absl::StatusOr<SlotContent> Measure(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return Error(absl::StatusCode::kNotFound, "IMAGE_MISSING", absl::StrCat("there is no image at ", path));
  SlotContent content;
  crypto::Sha256Stream digest;
  std::string buffer(256 << 10, '\0');
  while (in.read(buffer.data(), buffer.size()), in.gcount() > 0) {
    digest.Update(absl::string_view(buffer.data(), in.gcount()));
    content.length += in.gcount();
  }
  content.sha256 = digest.FinishHex();
  return content;
}

// Whether the slot has the image that its slot.json tells of.
bool IsWhole(const std::string& folder, const SlotContent& content) {
  const absl::StatusOr<SlotContent> measured = Measure(absl::StrCat(folder, "/image"));
  return measured.ok() && measured->length == content.length && measured->sha256 == content.sha256;
}

json ToJson(const BootState& state) {
  return {{"active", state.active == Slot::kA ? "a" : "b"},
          {"trial", state.trial},
          {"tries", state.tries},
          {"outcome", static_cast<int>(state.outcome)},
          {"trial_sha256", state.trial_sha256}};
}

BootState ToBootState(const json& state) {
  return {.active = state.value("active", "a") == "a" ? Slot::kA : Slot::kB,
          .trial = state.value("trial", false),
          .tries = state.value("tries", 0),
          .outcome = static_cast<Outcome>(state.value("outcome", 0)),
          .trial_sha256 = state.value("trial_sha256", "")};
}

absl::Status SystemError(absl::string_view what, const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  return Error(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
               full ? "NO_FLASH" : "WRITE_FAILED",
               absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(errno)));
}

}  // namespace

absl::Status Component::Provision(const std::string& folder, const std::string& ecu_serial,
                                  const std::string& hardware_id, const crypto::PemSigner* signer,
                                  const std::string& factory_image, const std::string& factory_version) {
  if (std::filesystem::exists(folder)) {
    return Error(absl::StatusCode::kAlreadyExists, "ALREADY_PROVISIONED",
                 absl::StrCat(folder, " is there already: a component is provisioned once"));
  }
  const std::string slot = absl::StrCat(folder, "/slot-a");
  RETURN_IF_ERROR(MakeDirectories(slot));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(folder, "/slot-b")));
  if (signer != nullptr) {
    RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/key.pem"), signer->ToPem(), kPrivateMode));
  }
  std::error_code error;
  std::filesystem::copy_file(factory_image, absl::StrCat(slot, "/image"), error);
  if (error) {
    return Error(absl::StatusCode::kNotFound, "IMAGE_MISSING",
                 absl::StrCat("cannot copy the factory image ", factory_image, ": ", error.message()));
  }
  ASSIGN_OR_RETURN(SlotContent content, Measure(absl::StrCat(slot, "/image")));
  content.version = factory_version;
  content.tried = true;
  RETURN_IF_ERROR(WriteSlot(slot, content));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/boot.json"), ToJson(BootState()).dump()));
  const json identity = {
      {"ecu_serial", ecu_serial}, {"hardware_id", hardware_id}, {"constrained", signer == nullptr}};
  return WriteFileAtomically(absl::StrCat(folder, "/component.json"), identity.dump());
}

absl::StatusOr<std::unique_ptr<Component>> Component::Boot(const std::string& folder,
                                                           const HealthCheck& healthy) {
  std::unique_ptr<Component> component(new Component());
  component->folder_ = folder;
  ASSIGN_OR_RETURN(const json identity, ReadJson(absl::StrCat(folder, "/component.json")));
  component->ecu_serial_ = identity.value("ecu_serial", "");
  component->hardware_id_ = identity.value("hardware_id", "");
  if (!identity.value("constrained", false)) {
    ASSIGN_OR_RETURN(crypto::PemSigner signer, crypto::PemSigner::Load(absl::StrCat(folder, "/key.pem")));
    component->signer_ = std::make_unique<crypto::PemSigner>(std::move(signer));
  }
  const absl::StatusOr<std::string> counter = ReadFile(absl::StrCat(folder, "/counter"));
  if (counter.ok() && !absl::SimpleAtoi(*counter, &component->report_counter_)) {
    return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED",
                 absl::StrCat(folder, "/counter is not a number"));
  }

  ASSIGN_OR_RETURN(const json boot, ReadJson(absl::StrCat(folder, "/boot.json")));
  const BootState before = ToBootState(boot);
  const BootState begun = BeginBoot(before);
  RETURN_IF_ERROR(component->SaveBootState(begun));
  if (begun.trial) {
    const std::string slot = component->SlotFolder(Other(begun.active));
    absl::StatusOr<SlotContent> content = ReadSlot(slot);
    // Before the trial can end: whatever comes of it, this installation has had its turn.
    if (content.ok() && !content->tried) {
      content->tried = true;
      RETURN_IF_ERROR(WriteSlot(slot, *content));
    }
    const bool well = content.ok() && content->sha256 == begun.trial_sha256 && IsWhole(slot, *content) &&
                      healthy(absl::StrCat(slot, "/image"));
    RETURN_IF_ERROR(component->SaveBootState(EndTrial(begun, well)));
  }
  if (before.trial && !component->boot_.trial) {
    log::Info(component->boot_.outcome == Outcome::kConfirmed ? "the new image came up"
                                                              : "rolled back to the old image",
              {{"ecu_serial", component->ecu_serial_}, {"sha256", before.trial_sha256}});
  }
  const std::string active = component->SlotFolder(component->boot_.active);
  ASSIGN_OR_RETURN(component->running_, ReadSlot(active));
  if (!IsWhole(active, component->running_)) {
    return Error(absl::StatusCode::kDataLoss, "IMAGE_DAMAGED",
                 absl::StrCat("the image in ", active, " is damaged"));
  }
  return component;
}

std::string Component::SlotFolder(Slot slot) const {
  return absl::StrCat(folder_, slot == Slot::kA ? "/slot-a" : "/slot-b");
}

absl::Status Component::SaveBootState(const BootState& state) {
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder_, "/boot.json"), ToJson(state).dump()));
  boot_ = state;
  return absl::OkStatus();
}

absl::StatusOr<trust::Envelope> Component::Report(absl::string_view manufacturer, absl::string_view model,
                                                  absl::string_view nonce) {
  // Kept before it is used: a counter that came back would make a report look replayed.
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder_, "/counter"), absl::StrCat(report_counter_ + 1)));
  trust::VersionReport report;
  report.ecu_serial = ecu_serial_;
  report.hardware_id = hardware_id_;
  report.manufacturer = std::string(manufacturer);
  report.model = std::string(model);
  report.filepath = running_.target_path;
  report.length = running_.length;
  report.sha256 = running_.sha256;
  report.version = running_.version;
  report.release_counter = running_.release_counter;
  report.report_counter = ++report_counter_;
  report.nonce = std::string(nonce);
  report.proxied = constrained();
  trust::Envelope envelope = report.ToEnvelope();
  if (signer_ != nullptr) RETURN_IF_ERROR(envelope.Sign(*signer_));
  return envelope;
}

absl::StatusOr<std::unique_ptr<Component::Installation>> Component::BeginInstallation() {
  const std::string slot = SlotFolder(Other(boot_.active));
  RETURN_IF_ERROR(RemoveFile(absl::StrCat(slot, "/slot.json")));
  const std::string path = absl::StrCat(slot, "/image.partial");
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return SystemError("write", path);
  return std::unique_ptr<Installation>(new Installation(slot, descriptor));
}

absl::Status Component::Activate(absl::string_view sha256) {
  const std::string slot = SlotFolder(Other(boot_.active));
  const absl::StatusOr<SlotContent> content = ReadSlot(slot);
  if (!content.ok() || content->tried || content->sha256 != sha256 || !IsWhole(slot, *content)) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED",
        absl::StrCat("the inactive slot of ", ecu_serial_, " has no image ", sha256, ": install it first"));
  }
  return SaveBootState(device::Activate(boot_, std::string(sha256)));
}

Component::Installation::~Installation() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(absl::StrCat(folder_, "/image.partial").c_str());
}

absl::Status Component::Installation::Write(absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(descriptor_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", folder_);
    data.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status Component::Installation::Finish(const SlotContent& content) {
  if (fsync(descriptor_) != 0) return SystemError("sync", folder_);
  const std::string partial = absl::StrCat(folder_, "/image.partial");
  if (std::rename(partial.c_str(), absl::StrCat(folder_, "/image").c_str()) != 0)
    return SystemError("rename", partial);
  close(descriptor_);
  descriptor_ = -1;
  RETURN_IF_ERROR(SyncDirectory(folder_));
  return WriteSlot(folder_, content);
}

}  // namespace countersign::device
