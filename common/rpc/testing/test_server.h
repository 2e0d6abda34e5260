// For tests: a real server on a free port with a PKI of its own, and channels as anyone.
//
//   class InventoryApiTest : public ::testing::Test {
//    protected:
//     InventoryApiTest() : api_(store_) {
//       server_.AddService(api_.Bind());
//       server_.Start();
//     }
//     InventoryStore store_{database_};
//     InventoryApi api_;
//     rpc::testing::TestServer server_{"inventory"};
//   };
//
//   TEST_F(InventoryApiTest, GatewayCannotReadAnotherGateway) {
//     auto stub = v1::InventoryService::NewStub(server_.ChannelAs({rpc::Role::kGateway, "gw-1"}));
//     rpc::CallContext context(absl::Seconds(10));
//     ...
//   }
#ifndef COUNTERSIGN_COMMON_RPC_TESTING_TEST_SERVER_H_
#define COUNTERSIGN_COMMON_RPC_TESTING_TEST_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity.h"
#include "common/rpc/server.h"
#include "tools/pki/pki.h"

namespace countersign::rpc::testing {

// A development CA in a temporary folder that goes with it. Failures abort: a test cannot go on without.
class TestPki {
 public:
  explicit TestPki(absl::string_view trust_domain = "test.example");
  ~TestPki();
  TestPki(const TestPki&) = delete;
  TestPki& operator=(const TestPki&) = delete;

  const std::string& folder() const { return folder_; }
  const std::string& trust_domain() const { return trust_domain_; }
  const pki::Authority& authority() const { return *authority_; }

  // Files for `identity`; issued when first asked for.
  TlsOptions TlsFor(const Identity& identity);
  // Files with the given leaf and key, for certificates that must not work.
  TlsOptions TlsFor(absl::string_view name, const crypto::CertificateAndKey& leaf);

 private:
  TlsOptions Files(absl::string_view name) const;

  std::string folder_;
  std::string trust_domain_;
  std::unique_ptr<pki::Authority> authority_;
};

class TestServer {
 public:
  // A server that is `service/<service_id>`, with its own metrics registry. With a `pki` it trusts that one
  // (which must outlive it), so that several servers of one test can call each other.
  explicit TestServer(absl::string_view service_id, TestPki* pki = nullptr);
  TestServer(const Identity& identity, TestPki* pki);
  ~TestServer();

  // Before Start: change what the server will be.
  ServerOptions& options() { return options_; }
  void AddService(std::unique_ptr<Service> service);
  void AddReadinessCheck(absl::string_view name, std::function<absl::Status()> check);

  // Before Start: what is done with the server before it starts, beside the above.
  void Prepare(std::function<void(Server&)> prepare) { prepare_ = std::move(prepare); }

  // Aborts with the status when the server does not start.
  void Start();

  Server& server();
  TestPki& pki() { return *pki_; }
  const Identity& identity() const { return identity_; }
  std::string address() const;  // "127.0.0.1:<port>"

  // A channel on a connection of its own that shows `identity`'s certificate.
  std::shared_ptr<grpc::Channel> ChannelAs(const Identity& identity);

  // GET on the HTTP port: the body; `*code` gets the HTTP status when it is not null.
  std::string HttpGet(absl::string_view path, int* code = nullptr) const;

 private:
  std::unique_ptr<TestPki> own_pki_;
  TestPki* pki_;
  Identity identity_;
  metrics::Registry registry_;
  ServerOptions options_;
  std::vector<std::unique_ptr<Service>> services_;
  std::vector<std::pair<std::string, std::function<absl::Status()>>> checks_;
  std::function<void(Server&)> prepare_;
  std::unique_ptr<Server> server_;
};

}  // namespace countersign::rpc::testing

#endif  // COUNTERSIGN_COMMON_RPC_TESTING_TEST_SERVER_H_
