#include "common/crypto/pkcs11/testing/soft_tpm.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file/file.h"

extern char** environ;

namespace countersign::crypto::pkcs11::testing {
namespace {

void Require(bool ok, absl::string_view what) {
  if (ok) return;
  fprintf(stderr, "TPM for tests: %s (are packages swtpm, libtpm2-pkcs11-1 and opensc installed?)\n",
          std::string(what).c_str());
  abort();
}

pid_t Spawn(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  Require(error == 0, absl::StrCat("cannot start ", words[0]));
  return child;
}

void Run(std::vector<std::string> words) {
  const pid_t child = Spawn(words);
  int status = -1;
  Require(waitpid(child, &status, 0) == child && status == 0, absl::StrCat(words[0], " fails"));
}

bool Answers(const std::string& path) {
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const bool connected =
      connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(descriptor);
  return connected;
}

}  // namespace

SoftTpm::SoftTpm(absl::string_view token) : token_(token) {
  folder_ = "/tmp/tpm-XXXXXX";  // short: a socket's path has 107 bytes
  Require(mkdtemp(folder_.data()) != nullptr, "no folder");
  Require(MakeDirectories(folder_ + "/state").ok() && MakeDirectories(folder_ + "/store").ok(), "no folder");
  Require(WriteFileAtomically(PinFile(), "1234\n", 0600).ok(), "cannot write a file");
  setenv("TPM2_PKCS11_STORE", (folder_ + "/store").c_str(), 1);
  setenv("TPM2_PKCS11_TCTI", absl::StrCat("swtpm:path=", SocketPath()).c_str(), 1);
  setenv("TPM2_PKCS11_BACKEND", "esysdb", 1);
  setenv("TSS2_LOG", "all+NONE", 1);
  PowerOn();
  const std::vector<std::string> tool = {"pkcs11-tool", "--module", Module(), "--so-pin", "12345678"};
  const auto with = [&tool](std::vector<std::string> words) {
    words.insert(words.begin(), tool.begin(), tool.end());
    return words;
  };
  Run(with({"--init-token", "--slot-index", "0", "--label", token_}));
  Run(with({"--init-pin", "--token-label", token_, "--login", "--login-type", "so", "--pin", "1234"}));
}

SoftTpm::~SoftTpm() {
  if (process_ != 0) PowerOff();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string SoftTpm::Uri(absl::string_view object) const {
  return absl::StrCat("pkcs11:token=", token_, object.empty() ? "" : ";object=", object,
                      "?module-path=", Module(), "&pin-source=", PinFile());
}

void SoftTpm::PowerOff() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = 0;
}

void SoftTpm::PowerOn() {
  std::error_code ignored;
  std::filesystem::remove(SocketPath(), ignored);
  std::filesystem::remove(SocketPath() + ".ctrl", ignored);
  process_ = Spawn({"swtpm", "socket", "--tpm2", "--tpmstate", absl::StrCat("dir=", folder_, "/state"),
                    "--server", absl::StrCat("type=unixio,path=", SocketPath()), "--ctrl",
                    absl::StrCat("type=unixio,path=", SocketPath(), ".ctrl"), "--flags",
                    "not-need-init,startup-clear"});
  while (!Answers(SocketPath())) {
    int status = 0;
    Require(waitpid(process_, &status, WNOHANG) == 0, "swtpm ends");
    sched_yield();
  }
}

std::string SoftTpm::Module() { return "/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so"; }

}  // namespace countersign::crypto::pkcs11::testing
