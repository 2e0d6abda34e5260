#include "common/rpc/testing/test_server.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "grpcpp/channel.h"
#include "httplib.h"

namespace countersign::rpc::testing {
namespace {

// A test cannot go on without what failed.
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

std::string TemporaryFolder() {
  const char* root = getenv("TEST_TMPDIR");
  std::string name = absl::StrCat(root != nullptr ? root : "/tmp", "/rpc-XXXXXX");
  if (mkdtemp(name.data()) == nullptr) Require(absl::InternalError("mkdtemp failed: " + name));
  return name;
}

}  // namespace

TestPki::TestPki(absl::string_view trust_domain)
    : folder_(TemporaryFolder()),
      trust_domain_(trust_domain),
      authority_(std::make_unique<pki::Authority>(
          Require(pki::Authority::Create(trust_domain, SystemClock().Now(), absl::Hours(24))))) {}

TestPki::~TestPki() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

TlsOptions TestPki::TlsFor(const Identity& identity) {
  // Threads of a test may ask for the same identity at once; it is issued once.
  static absl::Mutex issuing(absl::kConstInit);
  absl::MutexLock lock(&issuing);
  const std::string name = absl::StrReplaceAll(identity.ToString(), {{"/", "-"}});
  if (std::filesystem::exists(absl::StrCat(folder_, "/", name, "/", name, ".crt"))) {
    return Files(name);
  }
  return TlsFor(
      name, Require(authority_->Issue(identity, pki::LoopbackNames(), SystemClock().Now(), absl::Hours(24))));
}

TlsOptions TestPki::TlsFor(absl::string_view name, const crypto::CertificateAndKey& leaf) {
  Require(pki::WriteLeaf(absl::StrCat(folder_, "/", name), std::string(name), leaf,
                         authority_->certificate().certificate_pem));
  return Files(name);
}

TlsOptions TestPki::Files(absl::string_view name) const {
  const std::string folder = absl::StrCat(folder_, "/", name);
  TlsOptions tls;
  tls.certificate_file = absl::StrCat(folder, "/", name, ".crt");
  tls.key_file = absl::StrCat(folder, "/", name, ".key");
  tls.ca_file = absl::StrCat(folder, "/ca.crt");
  tls.trust_domain = trust_domain_;
  return tls;
}

TestServer::TestServer(absl::string_view service_id, TestPki* pki)
    : TestServer(Identity{Role::kService, std::string(service_id)}, pki) {}

TestServer::TestServer(const Identity& identity, TestPki* pki)
    : own_pki_(pki == nullptr ? std::make_unique<TestPki>() : nullptr),
      pki_(pki == nullptr ? own_pki_.get() : pki),
      identity_(identity) {
  options_.tls = pki_->TlsFor(identity_);
  options_.registry = &registry_;
  options_.threads = 4;
  options_.grace = absl::Seconds(5);
}

TestServer::~TestServer() = default;

void TestServer::AddService(std::unique_ptr<Service> service) { services_.push_back(std::move(service)); }

void TestServer::AddReadinessCheck(absl::string_view name, std::function<absl::Status()> check) {
  checks_.emplace_back(std::string(name), std::move(check));
}

void TestServer::Start() {
  server_ = std::make_unique<Server>(options_);
  for (std::unique_ptr<Service>& service : services_) server_->AddService(std::move(service));
  services_.clear();
  for (auto& [name, check] : checks_) server_->AddReadinessCheck(name, std::move(check));
  checks_.clear();
  if (prepare_) prepare_(*server_);
  Require(server_->Start());
}

Server& TestServer::server() {
  if (server_ == nullptr) Require(absl::FailedPreconditionError("call Start first"));
  return *server_;
}

std::string TestServer::address() const { return absl::StrCat("127.0.0.1:", server_->grpc_port()); }

std::shared_ptr<grpc::Channel> TestServer::ChannelAs(const Identity& identity) {
  return Dialer(pki_->TlsFor(identity)).Dial(address(), identity_);
}

std::string TestServer::HttpGet(absl::string_view path, int* code) const {
  httplib::Client client("127.0.0.1", server_->http_port());
  const httplib::Result result = client.Get(std::string(path).c_str());
  if (!result) Require(absl::UnavailableError(absl::StrCat("no answer from the HTTP port to ", path)));
  if (code != nullptr) *code = result->status;
  return result->body;
}

}  // namespace countersign::rpc::testing
