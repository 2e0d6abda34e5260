#ifndef COUNTERSIGN_COMMON_TLOG_ENTRY_H_
#define COUNTERSIGN_COMMON_TLOG_ENTRY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::tlog {

// What happened, by LogEntry::kind.
inline constexpr char kRootPublished[] = "root_published";
inline constexpr char kTargetsPublished[] = "targets_published";
inline constexpr char kRolePublished[] = "role_published";  // a manufacturer's role, with both signatures
inline constexpr char kPendingPublished[] =
    "pending_published";  // a manufacturer's role of what is not approved
inline constexpr char kPackageApproved[] = "package_approved";
inline constexpr char kPackageRevoked[] = "package_revoked";
inline constexpr char kPackageWithdrawn[] =
    "package_withdrawn";  // what is in force does not list it any more

// One entry of the transparency log (PLUS-3). Its leaf is canonical JSON with the fields imageSha256, keyIds,
// kind, metadataSha256, role, roleVersion, targetPath; what is empty is left out.
struct LogEntry {
  std::string kind;
  // The metadata by which it happened: the file <role_version>.<role>.json, and the digest of its bytes.
  std::string role;
  int64_t role_version = 0;
  std::string metadata_sha256;
  // The package that it is about, where it is about one.
  std::string target_path;
  std::string image_sha256;
  // TUF ids of the keys that signed the metadata.
  std::vector<std::string> key_ids;

  friend bool operator==(const LogEntry&, const LogEntry&) = default;

  std::string ToLeaf() const;
  // INVALID_ARGUMENT (LOG_MALFORMED) for what ToLeaf() would not write, fields apart that it does not know.
  static absl::StatusOr<LogEntry> Parse(absl::string_view leaf);

  // The manufacturer whose role or package it is about; empty if it is about none.
  std::string Manufacturer() const;
};

// The entry with this leaf, if it says that the package at `target_path` with digest `image_sha256` was
// approved in version `role_version` of its manufacturer's role. INVALID_ARGUMENT (LOG_MALFORMED,
// LOG_PROOF_INVALID).
absl::StatusOr<LogEntry> CheckApprovalLeaf(absl::string_view leaf, absl::string_view target_path,
                                           absl::string_view image_sha256, int64_t role_version);

// The approval of exactly this image at exactly this path that `proof_bytes` (tlog-proof@v1, with the leaf as
// its extra data) proves to be in the log of `log_key` (a signed-note verifier key). INVALID_ARGUMENT
// (LOG_MALFORMED, LOG_HEAD_NOT_SIGNED, LOG_PROOF_INVALID); also for an empty key or proof.
absl::StatusOr<LogEntry> VerifyApprovalProof(absl::string_view proof_bytes, absl::string_view log_key,
                                             absl::string_view target_path, absl::string_view image_sha256);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_ENTRY_H_
