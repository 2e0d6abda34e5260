// A development CA on the command line:
//   pki init DIR --trust-domain home.example
//   pki issue DIR service/inventory --out certs

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/status/macros.h"
#include "tools/pki/pki.h"

namespace countersign::pki {
namespace {

absl::Status Init(const std::string& folder, const std::string& trust_domain, int days) {
  ASSIGN_OR_RETURN(const Authority authority,
                   Authority::Create(trust_domain, SystemClock().Now(), days * absl::Hours(24)));
  return authority.Save(folder);
}

absl::Status Issue(const std::string& folder, const std::vector<std::string>& identities, Names names,
                   const std::string& out, int days) {
  ASSIGN_OR_RETURN(const Authority authority, Authority::Load(folder));
  if (names.dns_names.empty() && names.ip_addresses.empty()) names = LoopbackNames();
  for (const std::string& text : identities) {
    ASSIGN_OR_RETURN(const rpc::Identity identity, rpc::ParseIdentity(text));
    ASSIGN_OR_RETURN(const crypto::CertificateAndKey leaf,
                     authority.Issue(identity, names, SystemClock().Now(), days * absl::Hours(24)));
    RETURN_IF_ERROR(WriteLeaf(out, absl::StrCat(rpc::RoleName(identity.role), "-", identity.id), leaf,
                              authority.certificate().certificate_pem));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("Development CA of Countersign: certificates with spiffe://<trust-domain>/<role>/<id>.",
               "pki");
  app.require_subcommand(1);
  std::string folder;
  std::string trust_domain;
  std::string out;
  std::vector<std::string> identities;
  Names names;
  int ca_days = 365;
  int leaf_days = 30;

  CLI::App* init = app.add_subcommand("init", "Make a CA: DIR/ca.crt, DIR/ca.key, DIR/trust-domain");
  init->add_option("DIR", folder, "The CA's folder")->required();
  init->add_option("--trust-domain", trust_domain, "e.g. home.example")->required();
  init->add_option("--days", ca_days, "How long the CA is valid")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();

  CLI::App* issue =
      app.add_subcommand("issue", "Issue OUT/<role>-<id>.crt and .key, and copy ca.crt beside them");
  issue->add_option("DIR", folder, "The CA's folder")->required();
  issue
      ->add_option(
          "IDENTITY", identities,
          "<role>/<id>; roles are operator, authority, manufacturer, gateway, cse, registrar, service")
      ->required();
  issue->add_option("--out", out, "Where the files go")->required();
  issue->add_option("--dns", names.dns_names, "DNS name; localhost unless --dns or --ip is given");
  issue->add_option("--ip", names.ip_addresses, "IP address; 127.0.0.1 unless --dns or --ip is given");
  issue->add_option("--days", leaf_days, "How long the certificates are valid")
      ->check(CLI::Range(1, 825))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const absl::Status status =
      init->parsed() ? Init(folder, trust_domain, ca_days) : Issue(folder, identities, names, out, leaf_days);
  if (status.ok()) return 0;
  std::fprintf(stderr, "pki: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace countersign::pki

int main(int argc, char** argv) { return countersign::pki::Main(argc, argv); }
