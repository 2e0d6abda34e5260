#include "common/tlog/entry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/hex.h"
#include "common/status/macros.h"
#include "common/tlog/note.h"
#include "common/tlog/proof.h"
#include "common/tlog/reasons.h"
#include "common/trust/canonical_json.h"
#include "common/trust/metadata.h"
#include "nlohmann/json.hpp"

namespace countersign::tlog {

using nlohmann::json;

namespace {

constexpr trust::JsonLimits kLimits = {.max_bytes = 16 << 10, .max_depth = 4, .max_values = 256};
constexpr size_t kMaxKind = 32;
constexpr char kPendingSuffix[] = "-pending";

bool IsKind(absl::string_view kind) {
  return !kind.empty() && kind.size() <= kMaxKind &&
         std::all_of(kind.begin(), kind.end(), [](char c) { return absl::ascii_islower(c) || c == '_'; });
}

// A field that is a string, "" if there is none; `fault` if it is something else.
std::string Text(const json& object, const char* key, bool& fault) {
  const auto found = object.find(key);
  if (found == object.end()) return "";
  if (!found->is_string() || found->get_ref<const std::string&>().empty()) {
    fault = true;
    return "";
  }
  return found->get<std::string>();
}

}  // namespace

std::string LogEntry::ToLeaf() const {
  json leaf = {
      {"kind", kind}, {"role", role}, {"roleVersion", role_version}, {"metadataSha256", metadata_sha256}};
  if (!target_path.empty()) leaf["targetPath"] = target_path;
  if (!image_sha256.empty()) leaf["imageSha256"] = image_sha256;
  if (!key_ids.empty()) leaf["keyIds"] = key_ids;
  return trust::CanonicalJson(leaf);
}

absl::StatusOr<LogEntry> LogEntry::Parse(absl::string_view leaf) {
  const auto malformed = [](absl::string_view what) {
    return Refuse(kMalformed, absl::StrCat("an entry of the log ", what));
  };
  const absl::StatusOr<json> document = trust::ParseStrictJson(leaf, kLimits);
  if (!document.ok() || !document->is_object()) return malformed("is no JSON object");
  if (trust::CanonicalJson(*document) != leaf) return malformed("is not written canonically");
  LogEntry entry;
  bool fault = false;
  entry.kind = Text(*document, "kind", fault);
  entry.role = Text(*document, "role", fault);
  entry.metadata_sha256 = Text(*document, "metadataSha256", fault);
  entry.target_path = Text(*document, "targetPath", fault);
  entry.image_sha256 = Text(*document, "imageSha256", fault);
  const auto version = document->find("roleVersion");
  fault = fault || version == document->end() || !version->is_number_integer();
  if (!fault) entry.role_version = version->get<int64_t>();
  if (const auto keys = document->find("keyIds"); keys != document->end()) {
    fault = fault || !keys->is_array() || keys->empty();
    for (const json& key : *keys) {
      if (fault || !key.is_string() || !crypto::IsSha256Hex(key.get_ref<const std::string&>())) {
        return malformed("has a key id that is none");
      }
      entry.key_ids.push_back(key.get<std::string>());
    }
  }
  if (fault || !IsKind(entry.kind) || !trust::IsRoleName(entry.role) || entry.role_version < 1 ||
      entry.role_version > trust::kMaxVersion || !crypto::IsSha256Hex(entry.metadata_sha256) ||
      (!entry.target_path.empty() && !trust::IsTargetPath(entry.target_path)) ||
      (!entry.image_sha256.empty() && !crypto::IsSha256Hex(entry.image_sha256))) {
    return malformed("lacks a field, or has one that is wrong");
  }
  return entry;
}

std::string LogEntry::Manufacturer() const {
  if (!target_path.empty()) {
    absl::string_view path = target_path;
    absl::ConsumePrefix(&path, trust::kPendingFolder);
    return std::string(path.substr(0, path.find('/')));
  }
  if (role == "root" || role == "targets") return "";
  return std::string(absl::StripSuffix(role, kPendingSuffix));
}

absl::StatusOr<LogEntry> CheckApprovalLeaf(absl::string_view leaf, absl::string_view target_path,
                                           absl::string_view image_sha256, int64_t role_version) {
  absl::StatusOr<LogEntry> entry = LogEntry::Parse(leaf);
  if (!entry.ok()) return entry;
  const absl::string_view manufacturer = target_path.substr(0, target_path.find('/'));
  const auto refuse = [&](absl::string_view what) {
    return Refuse(kProofInvalid,
                  absl::StrCat("the log's entry ", what, " of ", target_path, " in version ", role_version));
  };
  if (entry->kind != kPackageApproved || entry->role != manufacturer) return refuse("is not the approval");
  if (entry->target_path != target_path) return refuse("is about another path than that");
  if (entry->image_sha256 != image_sha256) return refuse("is about another image than that");
  if (entry->role_version != role_version) return refuse("is about another version than that");
  return entry;
}

absl::StatusOr<LogEntry> VerifyApprovalProof(absl::string_view proof_bytes, absl::string_view log_key,
                                             absl::string_view target_path, absl::string_view image_sha256) {
  ASSIGN_OR_RETURN(const VerifierKey key, VerifierKey::Parse(log_key));
  ASSIGN_OR_RETURN(const OfflineProof proof, OfflineProof::Parse(proof_bytes));
  ASSIGN_OR_RETURN(const LogEntry claimed, LogEntry::Parse(proof.extra));
  ASSIGN_OR_RETURN(LogEntry entry,
                   CheckApprovalLeaf(proof.extra, target_path, image_sha256, claimed.role_version));
  RETURN_IF_ERROR(proof.Verify(proof.extra, key).status());
  return entry;
}

}  // namespace countersign::tlog
