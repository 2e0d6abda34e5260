#include "tools/gateway/state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"

namespace countersign::gateway {
namespace {

using nlohmann::json;

absl::Status Damaged(const std::string& path) {
  return Error(
      absl::StatusCode::kDataLoss, "STATE_DAMAGED",
      absl::StrCat(path, " cannot be read: restore it, or remove it and let the gateway begin anew"));
}

// The JSON object at `path`; an empty one if there is no file.
absl::StatusOr<json> ReadObject(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return json::object();
  RETURN_IF_ERROR(text.status());
  json parsed = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return Damaged(path);
  return parsed;
}

json ToJson(const Attempt& attempt) {
  return {{"sha256", attempt.sha256},
          {"director_version", attempt.director_version},
          {"stage", static_cast<int>(attempt.stage)},
          {"cuts", attempt.cuts},
          {"activate_time", absl::ToUnixSeconds(attempt.activate_time)},
          {"rolled_back_before", attempt.rolled_back_before},
          {"phase", common::v1::UpdatePhase_Name(attempt.phase)},
          {"reason", common::v1::FailureReason_Name(attempt.reason)},
          {"detail", attempt.detail},
          {"reported", attempt.reported},
          {"bundle", attempt.bundle},
          {"target_path", attempt.target_path},
          {"version", attempt.version},
          {"approval_result", attempt.approval_result},
          {"offline", attempt.offline}};
}

// Throws json::exception for another type than is written.
Attempt ToAttempt(const json& value) {
  Attempt attempt;
  attempt.sha256 = value.at("sha256").get<std::string>();
  attempt.director_version = value.at("director_version").get<int64_t>();
  attempt.stage = static_cast<Attempt::Stage>(
      std::clamp(value.at("stage").get<int>(), 0, static_cast<int>(Attempt::Stage::kReverting)));
  attempt.cuts = value.at("cuts").get<int>();
  attempt.activate_time = absl::FromUnixSeconds(value.at("activate_time").get<int64_t>());
  attempt.rolled_back_before = value.at("rolled_back_before").get<bool>();
  common::v1::UpdatePhase_Parse(value.at("phase").get<std::string>(), &attempt.phase);
  common::v1::FailureReason_Parse(value.at("reason").get<std::string>(), &attempt.reason);
  attempt.detail = value.at("detail").get<std::string>();
  attempt.reported = value.at("reported").get<bool>();
  attempt.bundle = value.value("bundle", "");
  attempt.target_path = value.value("target_path", "");
  attempt.version = value.value("version", "");
  attempt.approval_result = value.value("approval_result", "");
  attempt.offline = value.value("offline", false);
  return attempt;
}

// An exclusive lock on a file, which the kernel lifts when the process dies.
absl::StatusOr<int> Lock(const std::string& path, bool wait) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return absl::InternalError(absl::StrCat("cannot open ", path));
  if (flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB)) == 0) return descriptor;
  close(descriptor);
  return Error(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING",
               absl::StrCat("another agent holds ", path, ": one state folder belongs to one agent"));
}

}  // namespace

absl::StatusOr<MetadataStore> MetadataStore::Open(const std::string& folder) {
  const std::string roots = absl::StrCat(folder, "/roots");
  RETURN_IF_ERROR(MakeDirectories(roots));
  ASSIGN_OR_RETURN(trust::DirectoryStore current, trust::DirectoryStore::Open(folder));
  return MetadataStore(roots, std::move(current));
}

absl::StatusOr<std::optional<std::string>> MetadataStore::Load(absl::string_view role) const {
  return current_.Load(role);
}

absl::Status MetadataStore::Save(absl::string_view role, absl::string_view bytes) {
  if (role == trust::Root::kType) {
    ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(bytes));
    ASSIGN_OR_RETURN(const trust::Root root, trust::Root::Parse(envelope));
    // First: a root in force that is missing among the roots would break the chain for every device.
    RETURN_IF_ERROR(
        WriteFileAtomically(absl::StrCat(roots_, "/", trust::MetadataFilename(role, root.version)), bytes));
  }
  return current_.Save(role, bytes);
}

absl::Status MetadataStore::Remove(absl::string_view role) { return current_.Remove(role); }

absl::StatusOr<std::map<std::string, std::string>> MetadataStore::Roots() const {
  std::map<std::string, std::string> roots;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(roots_, error)) {
    const std::string name = entry.path().filename().string();
    // Anything else is a file that a power cut left half written.
    if (!absl::EndsWith(name, ".root.json")) continue;
    ASSIGN_OR_RETURN(roots[name], ReadFile(entry.path().string()));
  }
  if (error) return absl::InternalError(absl::StrCat("cannot list ", roots_, ": ", error.message()));
  return roots;
}

absl::StatusOr<std::unique_ptr<State>> State::Open(const std::string& folder, const Clock& clock) {
  ASSIGN_OR_RETURN(MetadataStore director, MetadataStore::Open(absl::StrCat(folder, "/metadata/director")));
  ASSIGN_OR_RETURN(MetadataStore images, MetadataStore::Open(absl::StrCat(folder, "/metadata/images")));
  ASSIGN_OR_RETURN(trust::SecureTime time, trust::SecureTime::Open(absl::StrCat(folder, "/time"), clock));
  std::unique_ptr<State> state(new State(folder, std::move(time), std::move(director), std::move(images)));
  RETURN_IF_ERROR(MakeDirectories(state->image_folder()));
  RETURN_IF_ERROR(state->Load());
  return state;
}

State::~State() {
  if (agent_lock_ >= 0) close(agent_lock_);
}

absl::Status State::Load() {
  const std::string components = absl::StrCat(folder_, "/components.json");
  const std::string attempts = absl::StrCat(folder_, "/attempts.json");
  ASSIGN_OR_RETURN(const json known, ReadObject(components));
  ASSIGN_OR_RETURN(const json tried, ReadObject(attempts));
  try {
    for (const auto& [serial, value] : known.items()) {
      components_[serial] = {value.at("hardware_id").get<std::string>(),
                             value.at("release_counter").get<int64_t>(), value.value("sha256", ""),
                             value.value("device_id", "")};
    }
  } catch (const json::exception&) {
    return Damaged(components);
  }
  try {
    for (const auto& [serial, value] : tried.items()) attempts_[serial] = ToAttempt(value);
  } catch (const json::exception&) {
    return Damaged(attempts);
  }
  const std::string cut_off = absl::StrCat(folder_, "/cut-off.json");
  ASSIGN_OR_RETURN(const json cut, ReadObject(cut_off));
  for (const auto& [serial, unused] : cut.items()) cut_off_.insert(serial);
  return absl::OkStatus();
}

absl::Status State::LockForAgent() {
  ASSIGN_OR_RETURN(agent_lock_, Lock(absl::StrCat(folder_, "/agent.lock"), /*wait=*/false));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> State::NextManifestCounter(int64_t minimum) {
  // `run` and `report` may stand in one folder.
  ASSIGN_OR_RETURN(const int lock, Lock(absl::StrCat(folder_, "/manifest-counter.lock"), /*wait=*/true));
  const auto next = [&]() -> absl::StatusOr<int64_t> {
    const std::string path = absl::StrCat(folder_, "/manifest-counter");
    int64_t last = 0;
    const absl::StatusOr<std::string> text = ReadFile(path);
    if (!absl::IsNotFound(text.status())) {
      RETURN_IF_ERROR(text.status());
      if (!absl::SimpleAtoi(*text, &last)) return Damaged(path);
    }
    const int64_t counter = std::max(last + 1, minimum);
    RETURN_IF_ERROR(WriteFileAtomically(path, absl::StrCat(counter)));
    return counter;
  }();
  close(lock);
  return next;
}

absl::Status State::SaveComponents(std::map<std::string, KnownComponent> components) {
  if (components == components_) return absl::OkStatus();
  json object = json::object();
  for (const auto& [serial, component] : components) {
    object[serial] = {{"hardware_id", component.hardware_id},
                      {"release_counter", component.release_counter},
                      {"sha256", component.sha256},
                      {"device_id", component.device_id}};
  }
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder_, "/components.json"), object.dump(1)));
  components_ = std::move(components);
  return absl::OkStatus();
}

const Attempt* State::FindAttempt(const std::string& ecu_serial) const {
  const auto found = attempts_.find(ecu_serial);
  return found == attempts_.end() ? nullptr : &found->second;
}

absl::Status State::SaveAttempt(const std::string& ecu_serial, const Attempt& attempt) {
  std::map<std::string, Attempt> attempts = attempts_;
  attempts[ecu_serial] = attempt;
  return WriteAttempts(attempts);
}

absl::Status State::SaveAttempts(const std::map<std::string, Attempt>& changed) {
  std::map<std::string, Attempt> attempts = attempts_;
  for (const auto& [serial, attempt] : changed) attempts[serial] = attempt;
  return WriteAttempts(attempts);
}

absl::Status State::SaveCutOff(std::set<std::string> cut_off) {
  if (cut_off == cut_off_) return absl::OkStatus();
  json object = json::object();
  for (const std::string& serial : cut_off) object[serial] = true;
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder_, "/cut-off.json"),
                                      object.dump(1, ' ', false, json::error_handler_t::replace)));
  cut_off_ = std::move(cut_off);
  return absl::OkStatus();
}

absl::Status State::RemoveAttempt(const std::string& ecu_serial) {
  std::map<std::string, Attempt> attempts = attempts_;
  if (attempts.erase(ecu_serial) == 0) return absl::OkStatus();
  return WriteAttempts(attempts);
}

absl::Status State::WriteAttempts(const std::map<std::string, Attempt>& attempts) {
  json object = json::object();
  for (const auto& [serial, attempt] : attempts) object[serial] = ToJson(attempt);
  // What a device tells may be no UTF-8; it is not worth failing for.
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder_, "/attempts.json"),
                                      object.dump(1, ' ', false, json::error_handler_t::replace)));
  attempts_ = attempts;
  return absl::OkStatus();
}

std::string State::image_folder() const { return absl::StrCat(folder_, "/images"); }

}  // namespace countersign::gateway
