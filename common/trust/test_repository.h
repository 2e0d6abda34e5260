#ifndef COUNTERSIGN_COMMON_TRUST_TEST_REPOSITORY_H_
#define COUNTERSIGN_COMMON_TRUST_TEST_REPOSITORY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"

namespace countersign::trust {

// A signer with a new ECDSA P-256 key.
crypto::PemSigner NewSigner();

// `envelope` with a signature of each of `signers`, serialised.
std::string SignedBytes(Envelope envelope, const std::vector<const crypto::Signer*>& signers);

// An image as a target: length and digest of `image`.
TargetFile MakeTarget(absl::string_view image, int64_t release_counter, std::vector<std::string> hardware_ids,
                      absl::string_view version = "1.0.0");

// A repository in memory for tests: root 2 of 3, targets 1 of 1, timestamp and snapshot 1. Change the public
// values, then Publish(): it signs what is there in the versions that stand there, and puts the files where a
// MapFetcher finds them. Attacks are made by changing the files, the keys or the values.
class TestRepository {
 public:
  // Metadata expires relative to `now`: timestamp 1 day, snapshot 7, the rest 30 days.
  explicit TestRepository(absl::Time now);

  // Delegates `paths` to `role`, 2 of 2 between `manufacturer` and `authority` below, as the image repository
  // does.
  void AddManufacturer(const std::string& role, std::vector<std::string> paths);

  // Raises the versions of timestamp and snapshot, and of every role named.
  void Raise(const std::vector<std::string>& roles);

  // Signs everything and writes all files: N.root.json, timestamp.json, N.snapshot.json, N.<role>.json.
  // snapshot.roles and timestamp.snapshot follow from the rest.
  void Publish();

  // Publishes `next` (version root.version + 1) as the root, signed by `signers`, and goes on with it.
  void RotateRoot(Root next, const std::vector<const crypto::Signer*>& signers);

  // The files served.
  std::map<std::string, std::string> files;

  crypto::PemSigner root_signers[3];
  crypto::PemSigner timestamp_signer;
  crypto::PemSigner snapshot_signer;
  crypto::PemSigner targets_signer;
  crypto::PemSigner manufacturer;
  crypto::PemSigner authority;

  Root root;
  Timestamp timestamp;
  Snapshot snapshot;
  Targets targets;
  std::map<std::string, Targets> delegated;  // by role

  // The root that clients start with.
  std::string first_root;

  std::vector<const crypto::Signer*> RootSigners() const { return {&root_signers[0], &root_signers[1]}; }
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_TEST_REPOSITORY_H_
