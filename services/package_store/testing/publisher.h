#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_PUBLISHER_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_PUBLISHER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/db/testing/test_cluster.h"
#include "common/metrics/metrics.h"
#include "common/rpc/testing/test_server.h"
#include "common/trust/client.h"
#include "common/trust/metadata.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "services/package_store/app.h"

// For tests of this service and of those that need one: a real package store, and everybody who publishes in
// it. What cannot fail in a test aborts when it does.
//
//   rpc::testing::TestPki pki;
//   TestStore store(&pki);
//   Publisher publisher(SystemClock().Now());
//   store.Start(publisher);
//   publisher.PublishAll(store, {"acme"});
//   publisher.PublishImages(store, "acme", {{.path = "acme/lamp/lamp-1.bin", .content = "..."}});
namespace countersign::package_store::testing {

namespace v1 = ::countersign::package_store::v1;

// A release, as its manufacturer describes it.
struct ImageSpec {
  std::string path;
  std::string content;
  std::vector<std::string> hardware_ids = {"hw-1"};
  std::string version = "1.0.0";
  int64_t release_counter = 1;
  std::string extra = "{}";  // other fields of the target's custom, a JSON object
};

class TestStore;

inline constexpr char kLogOrigin[] = "store.example/image-repository";

// The offline keys of the operator, the Management Authority and the manufacturers, and what they sign.
class Publisher {
 public:
  explicit Publisher(absl::Time now);

  // The verifier key of the store's transparency log.
  std::string LogVkey() const;

  // Metadata, ready to be sent.
  std::string Root(int64_t version = 1);
  std::string TopTargets(int64_t version, const std::vector<std::string>& manufacturers);

  // A manufacturer's role; unsigned, so that a test can make it wrong.
  trust::Targets Role(int64_t version, const std::vector<ImageSpec>& images) const;
  // Signed by the manufacturer.
  std::string Sign(absl::string_view manufacturer, const trust::Targets& role);
  // Everything the authority adds to approve a proposal.
  v1::ApproveProposalRequest Approve(const v1::Proposal& proposal);
  // The authority's statement about one target.
  std::string Statement(const v1::ProposedTarget& target, int64_t role_version, const crypto::Signer& signer);

  // The authority's revocation of a package, signed now.
  v1::RevokePackageRequest Revoke(const v1::Package& package, const std::string& reason);

  // The whole way, by calls to the store.
  void PublishAll(TestStore& store, const std::vector<std::string>& manufacturers);  // root 1 and targets 1
  // Uploads the images and publishes them as the manufacturer's next role version, with those before.
  v1::Proposal PublishImages(TestStore& store, const std::string& manufacturer,
                             const std::vector<ImageSpec>& images);

  const crypto::PemSigner& manufacturer(absl::string_view id);
  absl::Time now() const { return now_; }

  std::vector<crypto::PemSigner> root_keys;  // the operator's, the authority's, the operator's; threshold 2
  crypto::PemSigner targets_key;             // the operator's; threshold 1
  crypto::PemSigner targets_authority_key;   // the authority's
  crypto::PemSigner authority;
  crypto::PemSigner snapshot_key;
  crypto::PemSigner timestamp_key;
  crypto::PemSigner log_key;                       // of the log kLogOrigin
  std::optional<crypto::PublicKey> token_log_key;  // instead of log_key
  // Beside snapshot_key and timestamp_key, e.g. on a token: role and key.
  std::vector<std::pair<std::string, crypto::PublicKey>> more_online_keys;
  bool with_pending = false;  // whether TopTargets() delegates to the pending roles, too

 private:
  const absl::Time now_;
  std::map<std::string, crypto::PemSigner> manufacturers_;
  std::map<std::string, std::vector<ImageSpec>> published_;
  std::map<std::string, int64_t> versions_;
};

// A package store in this process, with a database and a folder of its own.
class TestStore {
 public:
  // Several stores on one `database` and `blob_dir` are replicas; "" makes new ones. `pki` outlives it.
  explicit TestStore(rpc::testing::TestPki* pki, const std::string& database = "",
                     const std::string& blob_dir = "");
  ~TestStore();

  // Before Start: what is to be other than usual.
  Config& config() { return config_; }
  // Writes the publisher's online keys, for the roles that config() names no key for, and starts.
  void Start(const Publisher& publisher);
  // Stops and starts again on the same data and another port.
  void Restart();

  std::string address() const;
  int http_port() const { return app_->http_port(); }
  std::unique_ptr<v1::PackageStoreService::Stub> As(const rpc::Identity& identity) const;
  // For many calls: one connection of each identity, kept.
  v1::PackageStoreService::Stub& Stub(const rpc::Identity& identity);

  // An upload from its committed length to its end. Its error is the call's.
  absl::StatusOr<v1::Upload> Upload(const rpc::Identity& identity, const std::string& manufacturer,
                                    const std::string& content);
  absl::StatusOr<std::string> Download(const rpc::Identity& identity, const std::string& sha256,
                                       int64_t offset = 0, int64_t length = 0);

  // The body of a GET on the plain HTTP port.
  std::string HttpGet(const std::string& path) const;

  rpc::testing::TestPki& pki() { return *pki_; }
  App& app() { return *app_; }

 private:
  rpc::testing::TestPki* const pki_;
  metrics::Registry registry_;
  Config config_;
  std::map<std::string, std::unique_ptr<v1::PackageStoreService::Stub>> stubs_;
  std::unique_ptr<App> app_;
};

// The store as a TUF client sees it.
class StoreFetcher : public trust::Fetcher {
 public:
  explicit StoreFetcher(v1::PackageStoreService::Stub* stub) : stub_(stub) {}
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override;

 private:
  v1::PackageStoreService::Stub* const stub_;
};

}  // namespace countersign::package_store::testing

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_PUBLISHER_H_
