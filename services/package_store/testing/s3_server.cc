#include "services/package_store/testing/s3_server.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/crypto/x509.h"
#include "common/file/file.h"

namespace countersign::package_store::testing {
namespace {

constexpr char kBucket[] = "firmware";

void Require(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "S3 server: %s\n", what.c_str());
  std::abort();
}

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

S3Server::S3Server() {
  const char* root = getenv("TEST_TMPDIR");
  folder_ = absl::StrCat(root != nullptr ? root : "/tmp", "/s3-XXXXXX");
  Require(mkdtemp(folder_.data()) != nullptr, "no folder");
  Require(MakeDirectories(absl::StrCat(folder_, "/data/", kBucket)).ok(), "no bucket");
  Require(MakeDirectories(absl::StrCat(folder_, "/metadata")).ok(), "no folder of metadata");
  const absl::Time now = SystemClock().Now();
  crypto::CertificateSpec spec;
  spec.common_name = "storage";
  spec.ip_addresses = {"127.0.0.1"};
  spec.not_before = now - absl::Hours(1);
  spec.not_after = now + absl::Hours(24);
  const auto authority = crypto::MakeCertificateAuthority(spec);
  Require(authority.ok(), authority.status().ToString());
  const auto leaf = crypto::IssueCertificate(*authority, spec);
  Require(leaf.ok(), leaf.status().ToString());
  for (const auto& [name, text] :
       {std::pair<std::string, std::string>("ca.crt", authority->certificate_pem),
        {"server.crt", leaf->certificate_pem},
        {"server.key", leaf->key_pem},
        {"credentials",
         "[default]\naws_access_key_id = test-key\naws_secret_access_key = test/secret+of the store\n"}}) {
    Require(WriteFileAtomically(absl::StrCat(folder_, "/", name), text, 0600).ok(), "cannot write " + name);
  }
  // Bound and not listened on: nobody else is given the port, and the server may bind it too.
  reservation_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(reservation_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  Require(bind(reservation_, reinterpret_cast<sockaddr*>(&address), size) == 0, "no port");
  getsockname(reservation_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  Start();
}

S3Server::~S3Server() {
  Kill();
  close(reservation_);
}

void S3Server::Start() {
  const char* program = getenv("COUNTERSIGN_VERSITYGW");
  Require(program != nullptr, "COUNTERSIGN_VERSITYGW does not say where it is; tests/s3/build does");
  // Not attributes of files: not every file system that tests run on has them.
  std::vector<std::string> arguments = {program,
                                        "--quiet",
                                        "--keep-alive",
                                        "--access=test-key",
                                        "--secret=test/secret+of the store",
                                        absl::StrCat("--port=127.0.0.1:", port_),
                                        absl::StrCat("--cert=", folder_, "/server.crt"),
                                        absl::StrCat("--key=", folder_, "/server.key"),
                                        "posix",
                                        absl::StrCat("--sidecar=", folder_, "/metadata"),
                                        absl::StrCat(folder_, "/data")};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, absl::StrCat(folder_, "/log").c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  Require(posix_spawn(&pid_, program, &actions, nullptr, argv.data(), environ) == 0,
          absl::StrCat(program, " cannot be started"));
  posix_spawn_file_actions_destroy(&actions);
  const sockaddr_in address = Loopback(port_);
  while (true) {
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool is_up = connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(client);
    if (is_up) return;
    Require(waitpid(pid_, nullptr, WNOHANG) == 0,
            absl::StrCat("it ended instead of serving; see ", folder_, "/log"));
    absl::SleepFor(absl::Milliseconds(1));  // it needs the processor more than we do
  }
}

void S3Server::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string S3Server::url() const { return absl::StrCat("https://127.0.0.1:", port_); }

std::pair<int, std::string> S3Server::Get(const std::string& url, const std::string& range) const {
  CURL* handle = curl_easy_init();
  std::string body;
  const auto receive = +[](char* data, size_t, size_t count, void* user) -> size_t {
    static_cast<std::string*>(user)->append(data, count);
    return count;
  };
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file().c_str());
  if (!range.empty()) curl_easy_setopt(handle, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &body);
  long status = 0;
  if (curl_easy_perform(handle) == CURLE_OK) curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(handle);
  return {static_cast<int>(status), body};
}

BucketOptions S3Server::Options(absl::string_view prefix) const {
  return {.url = absl::StrCat(url(), "/", kBucket, "/", prefix),
          .credentials_file = credentials_file(),
          .ca_file = ca_file()};
}

std::vector<std::string> S3Server::Flags(absl::string_view prefix) const {
  return {absl::StrCat("--blob-s3=", Options(prefix).url),
          absl::StrCat("--blob-s3-credentials=", credentials_file()),
          absl::StrCat("--blob-s3-ca=", ca_file())};
}

std::string S3Server::FileOf(absl::string_view prefix, absl::string_view key) const {
  return absl::StrCat(folder_, "/data/", kBucket, "/", prefix, "/", key);
}

}  // namespace countersign::package_store::testing
