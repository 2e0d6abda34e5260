#include "services/package_store/testing/program.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "grpcpp/grpcpp.h"

namespace countersign::package_store::testing {
namespace {

constexpr char kProgram[] = "services/package_store/package_store";

void Require(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "%s: %s\n", kProgram, what.c_str());
  std::abort();
}

}  // namespace

StorePlace::StorePlace(const Publisher& publisher, const std::string& database)
    : database(database.empty() ? db::TestCluster::Shared().CreateDatabase() : database) {
  const char* root = getenv("TEST_TMPDIR");
  folder = absl::StrCat(root != nullptr ? root : "/tmp", "/store-XXXXXX");
  Require(mkdtemp(folder.data()) != nullptr, "no folder");
  snapshot_key = folder + "/snapshot.pem";
  timestamp_key = folder + "/timestamp.pem";
  log_key = folder + "/log.pem";
  blob_flags = {absl::StrCat("--blob-dir=", folder, "/blobs")};
  for (const auto& [name, key] :
       {std::pair("snapshot", &publisher.snapshot_key), std::pair("timestamp", &publisher.timestamp_key),
        std::pair("log", &publisher.log_key)}) {
    const absl::Status written =
        WriteFileAtomically(absl::StrCat(folder, "/", name, ".pem"), key->ToPem(), 0600);
    Require(written.ok(), written.ToString());
  }
}

Program::Program(rpc::testing::TestPki* pki, StorePlace place, std::vector<std::string> flags)
    : pki_(pki),
      place_(std::move(place)),
      flags_(std::move(flags)),
      port_file_(absl::StrCat(place_.folder, "/ports-", crypto::RandomHex(4))) {}

Program::~Program() { Kill(); }

void Program::Start() {
  const rpc::TlsOptions tls = pki_->TlsFor({rpc::Role::kService, "package-store"});
  unlink(port_file_.c_str());
  std::vector<std::string> arguments = {kProgram,
                                        "--listen=127.0.0.1:0",
                                        "--http-listen=127.0.0.1:0",
                                        "--port-file=" + port_file_,
                                        "--database=" + place_.database,
                                        "--snapshot-key=" + place_.snapshot_key,
                                        "--timestamp-key=" + place_.timestamp_key,
                                        "--log-key=" + place_.log_key,
                                        std::string("--log-origin=") + kLogOrigin,
                                        "--tls-cert=" + tls.certificate_file,
                                        "--tls-key=" + tls.key_file,
                                        "--tls-ca=" + tls.ca_file,
                                        "--trust-domain=" + tls.trust_domain};
  arguments.insert(arguments.end(), place_.blob_flags.begin(), place_.blob_flags.end());
  arguments.insert(arguments.end(), flags_.begin(), flags_.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  Require(posix_spawn(&pid_, kProgram, nullptr, nullptr, argv.data(), environ) == 0, "cannot be started");
  absl::StatusOr<std::string> ports = ReadFile(port_file_);
  while (!ports.ok()) {
    Require(waitpid(pid_, nullptr, WNOHANG) == 0, "it ended instead of serving");
    absl::SleepFor(absl::Milliseconds(1));  // it needs the processor more than we do
    ports = ReadFile(port_file_);
  }
  const std::vector<std::string> fields = absl::StrSplit(*ports, ' ');
  address_ = absl::StrCat("127.0.0.1:", fields[0]);
  Require(fields.size() == 2 && absl::SimpleAtoi(fields[1], &http_port_), "no ports in the file");
}

void Program::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int Program::Stop() {
  int status = -1;
  kill(pid_, SIGTERM);
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::unique_ptr<v1::PackageStoreService::Stub> Program::As(const rpc::Identity& identity) const {
  return v1::PackageStoreService::NewStub(
      rpc::Dialer(pki_->TlsFor(identity))
          .Dial(address_, {rpc::Role::kService, "package-store"}, {.max_attempts = 1}));
}

}  // namespace countersign::package_store::testing
