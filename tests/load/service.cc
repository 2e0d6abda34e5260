#include "tests/load/service.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "tests/load/report.h"

namespace countersign::load {

Service::Service(rpc::testing::TestPki* pki, const std::string& name, const std::vector<std::string>& flags)
    : identity_{rpc::Role::kService, absl::StrReplaceAll(name, {{"_", "-"}})} {
  const rpc::TlsOptions tls = pki->TlsFor(identity_);
  const std::string port_file = absl::StrCat(pki->folder(), "/ports-", crypto::RandomHex(8));
  const std::string program = absl::StrCat("services/", name, "/", name);
  std::vector<std::string> arguments = {program,
                                        "--listen=127.0.0.1:0",
                                        "--http-listen=127.0.0.1:0",
                                        "--port-file=" + port_file,
                                        "--tls-cert=" + tls.certificate_file,
                                        "--tls-key=" + tls.key_file,
                                        "--tls-ca=" + tls.ca_file,
                                        "--trust-domain=" + tls.trust_domain};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (posix_spawn(&pid_, program.c_str(), nullptr, nullptr, argv.data(), environ) != 0) {
    Require(absl::InternalError(absl::StrCat(program, " cannot be started")));
  }
  absl::StatusOr<std::string> ports = ReadFile(port_file);
  while (!ports.ok()) {
    if (waitpid(pid_, nullptr, WNOHANG) != 0) {
      Require(absl::InternalError(absl::StrCat(program, " ended instead of serving")));
    }
    absl::SleepFor(absl::Milliseconds(1));  // it needs the processor more than we do
    ports = ReadFile(port_file);
  }
  const std::vector<std::string> fields = absl::StrSplit(*ports, ' ');
  address_ = absl::StrCat("127.0.0.1:", fields[0]);
}

Service::~Service() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace countersign::load
