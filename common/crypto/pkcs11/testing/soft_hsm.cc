#include "common/crypto/pkcs11/testing/soft_hsm.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file/file.h"

extern char** environ;

namespace countersign::crypto::pkcs11::testing {
namespace {

void Require(bool ok, absl::string_view what) {
  if (ok) return;
  fprintf(stderr, "SoftHSM for tests: %s (is package softhsm2 installed?)\n", std::string(what).c_str());
  abort();
}

}  // namespace

SoftHsm::SoftHsm() {
  const char* const base = getenv("TEST_TMPDIR");
  folder_ = absl::StrCat(base == nullptr ? "/tmp" : base, "/softhsm-XXXXXX");
  Require(mkdtemp(folder_.data()) != nullptr, "no folder");
  Require(MakeDirectories(folder_ + "/tokens").ok(), "no folder");
  FileWith("softhsm2.conf", absl::StrCat("directories.tokendir = ", folder_, "/tokens\n",
                                         "objectstore.backend = file\nlog.level = ERROR\n"));
  FileWith("pin", "1234\n");
  setenv("SOFTHSM2_CONF", ConfigFile().c_str(), 1);
}

void SoftHsm::AddToken(const std::string& label) {
  std::vector<std::string> words = {"softhsm2-util", "--init-token", "--free", "--label", label,
                                    "--so-pin",      "12345678",     "--pin",  "1234"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t child;
  const int error = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int result = -1;
  Require(error == 0 && waitpid(child, &result, 0) == child && result == 0, "softhsm2-util fails");
}

std::string SoftHsm::Uri(absl::string_view token, absl::string_view object) const {
  return Uri(token, object, Module(), PinFile());
}

std::string SoftHsm::Uri(absl::string_view token, absl::string_view object, absl::string_view module,
                         absl::string_view pin_file) const {
  return absl::StrCat("pkcs11:token=", token, object.empty() ? "" : ";object=", object,
                      "?module-path=", module, pin_file.empty() ? "" : "&pin-source=", pin_file);
}

void SoftHsm::Remove() {
  Require(rename((folder_ + "/tokens").c_str(), (folder_ + "/away").c_str()) == 0 &&
              MakeDirectories(folder_ + "/tokens").ok(),
          "cannot remove the tokens");
}

void SoftHsm::Insert() {
  Require(rename((folder_ + "/away").c_str(), (folder_ + "/tokens").c_str()) == 0,
          "cannot insert the tokens");
}

std::string SoftHsm::FileWith(absl::string_view name, absl::string_view content) const {
  const std::string path = absl::StrCat(folder_, "/", name);
  Require(WriteFileAtomically(path, content, 0600).ok(), "cannot write a file");
  return path;
}

std::string SoftHsm::Module() { return "/usr/lib/softhsm/libsofthsm2.so"; }

}  // namespace countersign::crypto::pkcs11::testing
