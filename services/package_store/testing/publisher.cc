#include "services/package_store/testing/publisher.h"

#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/note.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "common/trust/parties.h"
#include "common/trust/revocation.h"
#include "grpcpp/grpcpp.h"
#include "httplib.h"

namespace countersign::package_store::testing {
namespace {

constexpr size_t kChunkBytes = 256 << 10;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

crypto::PemSigner NewKey(crypto::KeyType type = crypto::KeyType::kEd25519) {
  return Require(crypto::PemSigner::Generate(type));
}

std::string TemporaryFolder() {
  const char* root = getenv("TEST_TMPDIR");
  std::string name = absl::StrCat(root != nullptr ? root : "/tmp", "/store-XXXXXX");
  if (mkdtemp(name.data()) == nullptr) Require(absl::InternalError(absl::StrCat("mkdtemp failed: ", name)));
  return name;
}

std::string Signed(trust::Envelope envelope, const std::vector<const crypto::Signer*>& signers) {
  for (const crypto::Signer* signer : signers) Require(envelope.Sign(*signer));
  return envelope.Serialise();
}

std::vector<std::string> KeyIds(const std::vector<const crypto::Signer*>& signers) {
  std::vector<std::string> ids;
  for (const crypto::Signer* signer : signers) ids.push_back(trust::KeyId(signer->public_key()));
  return ids;
}

}  // namespace

Publisher::Publisher(absl::Time now)
    : root_keys({NewKey(), NewKey(), NewKey()}),
      targets_key(NewKey()),
      targets_authority_key(NewKey()),
      authority(NewKey(crypto::KeyType::kEcdsaP256)),
      snapshot_key(NewKey()),
      timestamp_key(NewKey()),
      log_key(NewKey()),
      now_(now) {}

const crypto::PemSigner& Publisher::manufacturer(absl::string_view id) {
  const auto found = manufacturers_.find(std::string(id));
  if (found != manufacturers_.end()) return found->second;
  return manufacturers_.emplace(id, NewKey()).first->second;
}

std::string Publisher::LogVkey() const {
  return Require(tlog::VerifierKey::Make(kLogOrigin, token_log_key.value_or(log_key.public_key()))).Format();
}

std::string Publisher::Root(int64_t version) {
  trust::Root root;
  root.version = version;
  root.expires = now_ + absl::Hours(24 * 365);
  for (const crypto::PemSigner& key : root_keys) root.AddKey("root", key.public_key());
  root.roles["root"].threshold = 2;
  root.AddKey("targets", targets_key.public_key());
  root.AddKey("targets", targets_authority_key.public_key());
  root.parties[trust::kOperatorParty] = KeyIds({&root_keys[0], &root_keys[2], &targets_key});
  root.parties[trust::kAuthorityParty] = KeyIds({&root_keys[1], &targets_authority_key});
  root.AddKey("snapshot", snapshot_key.public_key());
  root.AddKey("timestamp", timestamp_key.public_key());
  root.log_key = LogVkey();
  for (const auto& [role, key] : more_online_keys) root.AddKey(role, key);
  return Signed(root.ToEnvelope(), {&root_keys[0], &root_keys[1]});
}

std::string Publisher::TopTargets(int64_t version, const std::vector<std::string>& manufacturers) {
  trust::Targets targets;
  targets.version = version;
  targets.expires = now_ + absl::Hours(24 * 180);
  targets.delegations.emplace();
  for (const std::string& id : manufacturers) {
    trust::Delegation role;
    role.name = id;
    role.paths = {absl::StrCat(id, "/*"), absl::StrCat(id, "/*/*")};
    role.keys.threshold = 2;
    targets.delegations->roles.push_back(role);
    targets.delegations->AddKey(manufacturer(id).public_key());
    targets.delegations->AddKey(authority.public_key());
    if (with_pending) {
      targets.delegations->roles.push_back(
          {.name = trust::PendingRole(id),
           .paths = {absl::StrCat("pending/", id, "/*"), absl::StrCat("pending/", id, "/*/*")}});
      targets.delegations->AddKey(manufacturer(id).public_key());
    }
    targets.parties[id] = KeyIds({&manufacturer(id)});
    targets.parties[trust::kAuthorityParty] = KeyIds({&authority});
  }
  return Signed(targets.ToEnvelope(), {&targets_key, &targets_authority_key});
}

trust::Targets Publisher::Role(int64_t version, const std::vector<ImageSpec>& images) const {
  trust::Targets role;
  role.version = version;
  role.expires = now_ + absl::Hours(24 * 90);
  for (const ImageSpec& image : images) {
    trust::TargetFile& target = role.targets[image.path];
    target.length = image.content.size();
    target.sha256 = crypto::Sha256Hex(image.content);
    target.custom.version = image.version;
    target.custom.hardware_ids = image.hardware_ids;
    target.custom.release_counter = image.release_counter;
    target.custom.extra = image.extra;
  }
  return role;
}

std::string Publisher::Sign(absl::string_view id, const trust::Targets& role) {
  return Signed(role.ToEnvelope(), {&manufacturer(id)});
}

std::string Publisher::Statement(const v1::ProposedTarget& target, int64_t role_version,
                                 const crypto::Signer& signer) {
  trust::ApprovalStatement statement;
  statement.sha256 = target.sha256();
  statement.target_path = target.target_path();
  statement.role_version = role_version;
  statement.hardware_ids.assign(target.hardware_ids().begin(), target.hardware_ids().end());
  statement.release_counter = target.release_counter();
  statement.valid_from = now_ - absl::Hours(1);
  statement.valid_until = now_ + absl::Hours(24 * 90);
  trust::DsseEnvelope envelope = statement.ToEnvelope();
  Require(envelope.Sign(signer));
  return envelope.Serialise();
}

v1::ApproveProposalRequest Publisher::Approve(const v1::Proposal& proposal) {
  const trust::Envelope envelope = Require(trust::Envelope::Parse(proposal.metadata()));
  v1::ApproveProposalRequest request;
  request.set_name(proposal.name());
  request.set_request_id(crypto::Uuid());
  v1::MetadataSignature& signature = *request.add_signatures();
  signature.set_key_id(trust::KeyId(authority.public_key()));
  signature.set_signature(crypto::HexEncode(Require(authority.Sign(envelope.canonical()))));
  for (const v1::ProposedTarget& target : proposal.changed_targets()) {
    request.add_approval_statements(Statement(target, proposal.role_version(), authority));
  }
  return request;
}

v1::RevokePackageRequest Publisher::Revoke(const v1::Package& package, const std::string& reason) {
  const trust::RevocationStatement statement = {
      .sha256 = package.sha256(),
      .target_path = package.target_path(),
      .role_version = package.role_version(),
      .reason = reason,
      .revoked_at = absl::FromUnixSeconds(absl::ToUnixSeconds(SystemClock().Now()))};
  trust::DsseEnvelope envelope = statement.ToEnvelope();
  Require(envelope.Sign(authority));
  v1::RevokePackageRequest request;
  request.set_target_path(package.target_path());
  request.set_reason(reason);
  request.set_revocation_statement(envelope.Serialise());
  request.set_request_id(crypto::Uuid());
  return request;
}

void Publisher::PublishAll(TestStore& store, const std::vector<std::string>& manufacturers) {
  auto& stub = store.Stub({rpc::Role::kOperator, "op"});
  v1::MetadataFile file;
  v1::PublishRootRequest root;
  root.set_metadata(Root());
  rpc::CallContext root_call(absl::Seconds(30));
  Require(rpc::FromGrpc(stub.PublishRoot(root_call.get(), root, &file)));
  v1::PublishTargetsRequest targets;
  targets.set_metadata(TopTargets(1, manufacturers));
  rpc::CallContext targets_call(absl::Seconds(30));
  Require(rpc::FromGrpc(stub.PublishTargets(targets_call.get(), targets, &file)));
}

v1::Proposal Publisher::PublishImages(TestStore& store, const std::string& id,
                                      const std::vector<ImageSpec>& images) {
  const rpc::Identity oem{rpc::Role::kManufacturer, id};
  std::vector<ImageSpec>& all = published_[id];
  for (const ImageSpec& image : images) {
    Require(store.Upload(oem, id, image.content).status());
    all.push_back(image);
  }
  v1::CreateProposalRequest request;
  request.set_parent(absl::StrCat("manufacturers/", id));
  request.set_metadata(Sign(id, Role(++versions_[id], all)));
  request.set_request_id(crypto::Uuid());
  v1::Proposal proposal;
  rpc::CallContext propose(absl::Seconds(30));
  Require(rpc::FromGrpc(store.Stub(oem).CreateProposal(propose.get(), request, &proposal)));
  v1::Proposal approved;
  rpc::CallContext approve(absl::Seconds(30));
  Require(rpc::FromGrpc(store.Stub({rpc::Role::kAuthority, "ma"})
                            .ApproveProposal(approve.get(), Approve(proposal), &approved)));
  return approved;
}

TestStore::TestStore(rpc::testing::TestPki* pki, const std::string& database, const std::string& blob_dir)
    : pki_(pki) {
  config_.server.tls = pki_->TlsFor({rpc::Role::kService, "package-store"});
  config_.server.registry = &registry_;
  config_.server.threads = 4;
  config_.server.grace = absl::Seconds(5);
  config_.database = database.empty() ? db::TestCluster::Shared().CreateDatabase() : database;
  config_.blob_dir = blob_dir.empty() ? TemporaryFolder() : blob_dir;
}

TestStore::~TestStore() = default;

void TestStore::Start(const Publisher& publisher) {
  const std::string keys = TemporaryFolder();
  Require(WriteFileAtomically(absl::StrCat(keys, "/snapshot.pem"), publisher.snapshot_key.ToPem(), 0600));
  Require(WriteFileAtomically(absl::StrCat(keys, "/timestamp.pem"), publisher.timestamp_key.ToPem(), 0600));
  if (config_.snapshot_key.empty()) config_.snapshot_key = absl::StrCat(keys, "/snapshot.pem");
  if (config_.timestamp_key.empty()) config_.timestamp_key = absl::StrCat(keys, "/timestamp.pem");
  Require(WriteFileAtomically(absl::StrCat(keys, "/log.pem"), publisher.log_key.ToPem(), 0600));
  if (config_.log_key.empty()) config_.log_key = absl::StrCat(keys, "/log.pem");
  config_.log_origin = kLogOrigin;
  app_ = Require(App::Start(config_));
}

void TestStore::Restart() {
  stubs_.clear();
  app_.reset();
  app_ = Require(App::Start(config_));
}

std::string TestStore::address() const { return absl::StrCat("127.0.0.1:", app_->grpc_port()); }

std::unique_ptr<v1::PackageStoreService::Stub> TestStore::As(const rpc::Identity& identity) const {
  return v1::PackageStoreService::NewStub(
      rpc::Dialer(pki_->TlsFor(identity)).Dial(address(), {rpc::Role::kService, "package-store"}));
}

v1::PackageStoreService::Stub& TestStore::Stub(const rpc::Identity& identity) {
  std::unique_ptr<v1::PackageStoreService::Stub>& stub = stubs_[identity.ToString()];
  if (stub == nullptr) stub = As(identity);
  return *stub;
}

absl::StatusOr<v1::Upload> TestStore::Upload(const rpc::Identity& identity, const std::string& manufacturer,
                                             const std::string& content) {
  v1::CreateUploadRequest request;
  request.set_parent(absl::StrCat("manufacturers/", manufacturer));
  request.mutable_upload()->set_length_bytes(content.size());
  request.mutable_upload()->set_sha256(crypto::Sha256Hex(content));
  v1::Upload upload;
  rpc::CallContext create(absl::Seconds(30));
  RETURN_IF_ERROR(rpc::FromGrpc(Stub(identity).CreateUpload(create.get(), request, &upload)));
  if (upload.state() == v1::Upload::STATE_COMPLETE) return upload;
  rpc::CallContext write(absl::Seconds(60));
  v1::Upload result;
  const auto writer = Stub(identity).WriteUpload(write.get(), &result);
  v1::WriteUploadRequest chunk;
  chunk.set_name(upload.name());
  for (size_t offset = upload.committed_bytes(); offset < content.size(); offset += chunk.data().size()) {
    chunk.set_offset(offset);
    chunk.set_data(content.substr(offset, kChunkBytes));
    if (!writer->Write(chunk)) break;
  }
  writer->WritesDone();
  RETURN_IF_ERROR(rpc::FromGrpc(writer->Finish()));
  return result;
}

absl::StatusOr<std::string> TestStore::Download(const rpc::Identity& identity, const std::string& sha256,
                                                int64_t offset, int64_t length) {
  v1::DownloadImageRequest request;
  request.set_sha256(sha256);
  request.set_offset(offset);
  request.set_length_bytes(length);
  rpc::CallContext context(absl::Seconds(60));
  const auto reader = Stub(identity).DownloadImage(context.get(), request);
  std::string content;
  v1::DownloadImageResponse response;
  while (reader->Read(&response)) content += response.data();
  RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
  return content;
}

std::string TestStore::HttpGet(const std::string& path) const {
  httplib::Client client("127.0.0.1", http_port());
  const httplib::Result result = client.Get(path.c_str());
  if (!result) Require(absl::UnavailableError(absl::StrCat("no answer from the HTTP port to ", path)));
  return result->body;
}

absl::StatusOr<std::string> StoreFetcher::Fetch(absl::string_view filename, int64_t max_length) {
  v1::GetMetadataRequest request;
  request.set_file_name(std::string(filename));
  v1::MetadataFile file;
  rpc::CallContext context(absl::Seconds(30));
  RETURN_IF_ERROR(rpc::FromGrpc(stub_->GetMetadata(context.get(), request, &file)));
  if (static_cast<int64_t>(file.content().size()) > max_length) {
    return Error(absl::StatusCode::kResourceExhausted, "LENGTH_EXCEEDED", "the file is longer than allowed");
  }
  return file.content();
}

}  // namespace countersign::package_store::testing
