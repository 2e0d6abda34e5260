#include "tools/cse_guard/grants.h"

#include <dirent.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/onem2m/identifiers.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "nlohmann/json.hpp"

namespace countersign::cse_guard {
namespace {

using nlohmann::json;

constexpr absl::string_view kSuffix = ".json";

std::string Write(const Admission& admission) {
  json document = {{"ae_id", admission.ae_id},
                   {"app_id", admission.app_id},
                   {"credential", admission.credential},
                   {"allowed_types", admission.grant.allowed_types},
                   {"acpi", admission.grant.acpi}};
  if (admission.grant.max_instances.has_value()) document["max_instances"] = *admission.grant.max_instances;
  if (admission.grant.max_bytes.has_value()) document["max_bytes"] = *admission.grant.max_bytes;
  return document.dump(1);
}

absl::StatusOr<Admission> Read(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Admission admission;
  // nlohmann's only way to say that a value is of another type.
  try {
    const json document = json::parse(text);
    admission.ae_id = document.at("ae_id");
    admission.app_id = document.at("app_id");
    admission.credential = document.at("credential");
    admission.grant.allowed_types = document.at("allowed_types").get<std::set<int>>();
    admission.grant.acpi = document.at("acpi").get<std::vector<std::string>>();
    if (document.contains("max_instances"))
      admission.grant.max_instances = document["max_instances"].get<int64_t>();
    if (document.contains("max_bytes")) admission.grant.max_bytes = document["max_bytes"].get<int64_t>();
  } catch (const json::exception& error) {
    return Error(absl::StatusCode::kFailedPrecondition, "STATE_DAMAGED",
                 absl::StrCat(path, " cannot be read: ", error.what(),
                              ". Remove the application from the CSE, then the file."));
  }
  return admission;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Admissions>> Admissions::Open(const std::string& folder) {
  RETURN_IF_ERROR(MakeDirectories(folder));
  std::unique_ptr<Admissions> admissions(new Admissions(folder));
  DIR* const listing = opendir(folder.c_str());
  if (listing == nullptr) return absl::InternalError(absl::StrCat("cannot list ", folder));
  absl::Status status;
  absl::MutexLock lock(&admissions->mutex_);
  while (const dirent* const entry = readdir(listing)) {
    if (!absl::EndsWith(entry->d_name, kSuffix)) continue;
    absl::StatusOr<Admission> admission = Read(absl::StrCat(folder, "/", entry->d_name));
    if (!admission.ok()) {
      status = admission.status();
      break;
    }
    auto shared = std::make_shared<const Admission>(*std::move(admission));
    admissions->by_ae_id_[shared->ae_id] = shared;
  }
  closedir(listing);
  if (!status.ok()) return status;
  return admissions;
}

absl::Status Admissions::Add(const Admission& admission) {
  const std::string path = absl::StrCat(folder_, "/", crypto::Sha256Hex(admission.ae_id), kSuffix);
  absl::MutexLock lock(&mutex_);
  by_ae_id_[admission.ae_id] = std::make_shared<const Admission>(admission);
  return WriteFileAtomically(path, Write(admission), 0600);
}

std::shared_ptr<const Admission> Admissions::Find(absl::string_view ae_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = by_ae_id_.find(ae_id);
  return found == by_ae_id_.end() ? nullptr : found->second;
}

std::string Canonical(absl::string_view text, const Policy& policy) {
  const absl::StatusOr<onem2m::AeId> ae_id = onem2m::ParseAeId(text);
  if (!ae_id.ok()) return std::string(text);
  const bool ours =
      (ae_id->service_provider.empty() || ae_id->service_provider == policy.service_provider()) &&
      (ae_id->cse.empty() || absl::StrCat("/", ae_id->cse) == policy.cse_id());
  return ours ? ae_id->stem : std::string(text);
}

}  // namespace countersign::cse_guard
