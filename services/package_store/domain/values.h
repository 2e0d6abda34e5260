#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_VALUES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_VALUES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

// What the store keeps, as values. Digests are 64 lower-case hex digits, lengths are bytes.
namespace countersign::package_store {

// An image repository's metadata file, byte for byte as clients fetch it.
struct MetadataFile {
  std::string file_name;
  std::string content;
};

// An image on its way into the store, or in it.
struct Upload {
  std::string manufacturer;
  std::string sha256;
  int64_t length_bytes = 0;
  int64_t committed_bytes = 0;  // safely on disk: where to go on
  bool complete = false;        // length and digest are verified
};

enum class ProposalState { kAwaitingApproval, kApproved, kRefused, kSuperseded };

// A target that a proposal adds or changes.
struct ProposedTarget {
  std::string target_path;
  int64_t length_bytes = 0;
  std::string sha256;
  std::vector<std::string> hardware_ids;
  std::string version;
  int64_t release_counter = 0;

  friend bool operator==(const ProposedTarget&, const ProposedTarget&) = default;
};

// A new version of a manufacturer's role metadata that waits for the Management Authority, or did.
struct Proposal {
  std::string id;
  std::string manufacturer;
  ProposalState state = ProposalState::kAwaitingApproval;
  int64_t role_version = 0;
  std::string metadata;  // the envelope with the signatures that it has
  std::vector<ProposedTarget> changed_targets;
  std::string proposed_by;  // role/id
  absl::Time created_at;
  std::string decided_by;  // role/id; empty while nobody decided
  std::optional<absl::Time> decided_at;
  std::string refusal_reason;
};

// Whether a package may be installed: kRevoked is for ever, what was kWithdrawn may be published again.
enum class PackageState { kApproved, kRevoked, kWithdrawn };

// A target that the manufacturer and the Management Authority both signed.
struct Package {
  std::string manufacturer;
  ProposedTarget target;
  int64_t role_version = 0;  // that published it as it is
  std::vector<std::string> manufacturer_key_ids;
  std::vector<std::string> authority_key_ids;
  std::string approved_by;  // role/id
  absl::Time approved_at;
  std::string approval_statement;    // DSSE envelope
  std::optional<int64_t> log_index;  // its entry in the transparency log
  PackageState state = PackageState::kApproved;
  std::string ended_by;  // role/id; from here on empty while it is approved
  std::optional<absl::Time> ended_at;
  std::string end_reason;
  std::string revocation_statement;  // DSSE envelope, of one that was revoked
};

enum class PackageEventKind { kProposed, kApproved, kRefused, kSuperseded, kRevoked, kWithdrawn };

// Something that happened to a package, or to a proposal of one (PLUS-5).
struct PackageEvent {
  PackageEventKind kind = PackageEventKind::kProposed;
  absl::Time time;
  std::string manufacturer;
  std::string target_path;  // empty, as the digest, for a proposal that changes no target
  std::string sha256;
  int64_t role_version = 0;
  std::string proposal;  // its id; empty where there is none
  std::string identity;  // role/id
  std::vector<std::string> key_ids;
  std::string reason;
  std::optional<int64_t> log_index;
};

enum class DeltaState { kPending, kReady, kNotWorthwhile };

// How one image is had from another.
struct Delta {
  std::string base_sha256;
  std::string sha256;
  DeltaState state = DeltaState::kPending;
  absl::Duration retry_delay;  // kPending: when it pays to ask again
  // kReady:
  int64_t length_bytes = 0;
  std::string delta_sha256;
  std::string object;       // where the blob store has it
  int64_t image_bytes = 0;  // of the new image
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_VALUES_H_
