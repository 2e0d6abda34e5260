#include "common/trust/trusted_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/status/macros.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"

namespace countersign::trust {
namespace {

// The role becomes a file name: nothing but a role name may.
absl::Status CheckRole(absl::string_view role) {
  if (IsRoleName(role)) return absl::OkStatus();
  return Refuse(kMalformed, "a role name must be of the form [A-Za-z0-9_-][A-Za-z0-9._-]{0,63}");
}

}  // namespace

absl::StatusOr<std::optional<std::string>> MemoryStore::Load(absl::string_view role) const {
  const auto found = files_.find(std::string(role));
  if (found == files_.end()) return std::nullopt;
  return found->second;
}

absl::Status MemoryStore::Save(absl::string_view role, absl::string_view bytes) {
  files_[std::string(role)] = std::string(bytes);
  return absl::OkStatus();
}

absl::Status MemoryStore::Remove(absl::string_view role) {
  files_.erase(std::string(role));
  return absl::OkStatus();
}

absl::StatusOr<DirectoryStore> DirectoryStore::Open(const std::string& folder) {
  RETURN_IF_ERROR(MakeDirectories(folder));
  return DirectoryStore(folder);
}

absl::StatusOr<std::optional<std::string>> DirectoryStore::Load(absl::string_view role) const {
  RETURN_IF_ERROR(CheckRole(role));
  absl::StatusOr<std::string> bytes = ReadFile(PathOf(role));
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  return *std::move(bytes);
}

absl::Status DirectoryStore::Save(absl::string_view role, absl::string_view bytes) {
  RETURN_IF_ERROR(CheckRole(role));
  return WriteFileAtomically(PathOf(role), bytes);
}

absl::Status DirectoryStore::Remove(absl::string_view role) {
  RETURN_IF_ERROR(CheckRole(role));
  return RemoveFile(PathOf(role));
}

std::string DirectoryStore::PathOf(absl::string_view role) const {
  return absl::StrCat(folder_, "/", role, ".json");
}

}  // namespace countersign::trust
