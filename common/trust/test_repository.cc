#include "common/trust/test_repository.h"

#include <utility>

#include "common/crypto/digest.h"

namespace countersign::trust {

crypto::PemSigner NewSigner() { return crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256).value(); }

std::string SignedBytes(Envelope envelope, const std::vector<const crypto::Signer*>& signers) {
  for (const crypto::Signer* signer : signers) {
    // A test that signs what cannot be signed is to see an unsigned document refused.
    envelope.Sign(*signer).IgnoreError();
  }
  return envelope.Serialise();
}

TargetFile MakeTarget(absl::string_view image, int64_t release_counter, std::vector<std::string> hardware_ids,
                      absl::string_view version) {
  TargetFile target;
  target.length = static_cast<int64_t>(image.size());
  target.sha256 = crypto::Sha256Hex(image);
  target.custom.version = std::string(version);
  target.custom.release_counter = release_counter;
  target.custom.hardware_ids = std::move(hardware_ids);
  return target;
}

TestRepository::TestRepository(absl::Time now)
    : root_signers{NewSigner(), NewSigner(), NewSigner()},
      timestamp_signer(NewSigner()),
      snapshot_signer(NewSigner()),
      targets_signer(NewSigner()),
      manufacturer(NewSigner()),
      authority(NewSigner()) {
  root.expires = targets.expires = now + absl::Hours(24 * 30);
  timestamp.expires = now + absl::Hours(24);
  snapshot.expires = now + absl::Hours(24 * 7);
  for (const crypto::PemSigner& signer : root_signers) root.AddKey("root", signer.public_key());
  root.roles["root"].threshold = 2;
  root.AddKey("timestamp", timestamp_signer.public_key());
  root.AddKey("snapshot", snapshot_signer.public_key());
  root.AddKey("targets", targets_signer.public_key());
  first_root = SignedBytes(root.ToEnvelope(), RootSigners());
  files[MetadataFilename("root", root.version)] = first_root;
}

void TestRepository::AddManufacturer(const std::string& role, std::vector<std::string> paths) {
  if (!targets.delegations.has_value()) targets.delegations.emplace();
  targets.delegations->roles.push_back({.name = role, .keys = {.threshold = 2}, .paths = std::move(paths)});
  targets.delegations->AddKey(manufacturer.public_key());
  targets.delegations->AddKey(authority.public_key());
  delegated[role].expires = targets.expires;
}

void TestRepository::Raise(const std::vector<std::string>& roles) {
  ++timestamp.version;
  ++snapshot.version;
  for (const std::string& role : roles) ++(role == "targets" ? targets : delegated.at(role)).version;
}

void TestRepository::Publish() {
  snapshot.roles["targets"].version = targets.version;
  files[MetadataFilename("targets", targets.version)] = SignedBytes(targets.ToEnvelope(), {&targets_signer});
  for (const auto& [role, metadata] : delegated) {
    snapshot.roles[role].version = metadata.version;
    files[MetadataFilename(role, metadata.version)] =
        SignedBytes(metadata.ToEnvelope(), {&manufacturer, &authority});
  }
  std::string& snapshot_bytes = files[MetadataFilename("snapshot", snapshot.version)];
  snapshot_bytes = SignedBytes(snapshot.ToEnvelope(), {&snapshot_signer});
  timestamp.snapshot = FileMeta::Of(snapshot.version, snapshot_bytes);
  files["timestamp.json"] = SignedBytes(timestamp.ToEnvelope(), {&timestamp_signer});
}

void TestRepository::RotateRoot(Root next, const std::vector<const crypto::Signer*>& signers) {
  root = std::move(next);
  files[MetadataFilename("root", root.version)] = SignedBytes(root.ToEnvelope(), signers);
}

}  // namespace countersign::trust
