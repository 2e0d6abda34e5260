// What a question to the App-ID registry costs (VerifyIdentity of a profile that is known), next to a bare
// unary echo of the same size, taken in the same run. Run it with tests/load/run app_id.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/crypto/signer.h"
#include "common/crypto/x509.h"
#include "common/db/testing/test_cluster.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing/test_server.h"
#include "countersign/appid_registry/v1/appid_registry.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "tests/load/bare_grpc.h"
#include "tests/load/child.h"
#include "tests/load/measure.h"
#include "tests/load/report.h"
#include "tests/load/service.h"

namespace countersign::load {
namespace {

using rpc::Identity;
using rpc::Role;
namespace v1 = ::countersign::appid_registry::v1;

constexpr char kMethod[] = "/countersign.appid_registry.v1.AppIdRegistryService/VerifyIdentity";
constexpr int kConnections = 4;
constexpr int kCallsAtOnce = 32;
constexpr double kGoal = 1.5;
const Identity kRegistry{Role::kService, "appid-registry"};

// A question as a CSE asks it, about a profile that is registered.
v1::VerifyIdentityRequest Register(v1::AppIdRegistryService::Stub& stub) {
  v1::CreateProfileRequest create;
  create.set_request_id(crypto::Uuid());
  v1::Profile& profile = *create.mutable_profile();
  profile.set_name("profiles/Ra01.com.acme.thermostat");
  profile.set_application_type("thermostat");
  profile.set_application_class(v1::Profile::APPLICATION_CLASS_CONSUMER);
  profile.set_security_capability(v1::Profile::SECURITY_CAPABILITY_SECURE_ELEMENT);
  profile.set_authentication_type(v1::Profile::AUTHENTICATION_TYPE_CERTIFICATE);
  profile.set_root_of_trust_sha256(std::string(64, 'a'));
  profile.set_communications_class(v1::Profile::COMMUNICATIONS_CLASS_PERIODIC_BURST);
  profile.mutable_data_model()->set_name("SDT 4.0 thermostat");
  profile.mutable_data_model()->set_ontology_mapping("https://saref.etsi.org/core/HVAC");
  profile.mutable_data_privacy()->set_category(v1::Profile::PRIVACY_CATEGORY_PERSONAL);
  profile.mutable_data_privacy()->set_protection_level(3);
  profile.mutable_data_privacy()->set_purpose("Heating on demand");
  profile.mutable_data_privacy()->add_collectors("Acme Heating");
  v1::Profile created;
  rpc::CallContext context(absl::Seconds(30));
  Require(rpc::FromGrpc(stub.CreateProfile(context.get(), create, &created)));
  v1::VerifyIdentityRequest question;
  question.set_app_id("Ra01.com.acme.thermostat");
  question.set_ae_id("/cse-1/C190XX7T");
  const auto root =
      Require(crypto::MakeCertificateAuthority({.common_name = "root",
                                                .not_before = absl::FromUnixSeconds(0),
                                                .not_after = absl::FromUnixSeconds(4102444800)}));
  const auto leaf =
      Require(crypto::IssueCertificate(root, {.common_name = "thermostat",
                                              .uris = {"urn:onem2m:api:Ra01.com.acme.thermostat"},
                                              .not_before = absl::FromUnixSeconds(0),
                                              .not_after = absl::FromUnixSeconds(4102444800)}));
  question.mutable_credential()->add_certificate_chain(leaf.certificate_pem + root.certificate_pem);
  return question;
}

int Main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "";
  if (argc == 5 && kind == "--bare-grpc") {
    ServeBareGrpc({.certificate_file = argv[2], .key_file = argv[3], .ca_file = argv[4]});
    return 0;
  }
  CLI::App app(
      "What a question to the App-ID registry costs, next to a bare unary echo, taken in the same run.");
  int rounds = 7;
  int calls = 40'000;
  bool quick = false;
  app.add_flag("--quick", quick, "One short round: shows that it works, not how fast");
  app.add_option("--rounds", rounds, "Rounds; 7 by default")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (quick) {
    rounds = 1;
    calls = 2'000;
  }
  setenv("COUNTERSIGN_LOG_LEVEL", "error", 0);

  rpc::testing::TestPki pki;
  const std::string key = absl::StrCat(pki.folder(), "/answer.key");
  Require(
      WriteFileAtomically(key, Require(crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256)).ToPem()));
  const std::string database = db::TestCluster::Shared().CreateDatabase();
  const Service registry(&pki, "appid_registry",
                         {"--database=" + database, "--answer-key=" + key, "--authorities=ara=a01"});
  const rpc::TlsOptions tls = pki.TlsFor(kRegistry);
  const Child bare({"--bare-grpc", tls.certificate_file, tls.key_file, tls.ca_file});
  const auto channels = [&](const std::string& address, const Identity& identity) {
    const rpc::Dialer dialer(pki.TlsFor(identity));
    Channels made;
    for (int i = 0; i < kConnections; ++i)
      made.push_back(dialer.Dial(address, kRegistry, {.max_attempts = 1}));
    return made;
  };
  const auto registrar =
      v1::AppIdRegistryService::NewStub(channels(registry.address(), {Role::kRegistrar, "ara"})[0]);
  const v1::VerifyIdentityRequest question = Register(*registrar);
  const Channels ours = channels(registry.address(), {Role::kCse, "cse-1"});
  const Channels theirs = channels(bare.address(), {Role::kCse, "cse-1"});
  v1::VerifyIdentityResponse answer;
  rpc::CallContext context(absl::Seconds(30));
  Require(rpc::FromGrpc(
      v1::AppIdRegistryService::NewStub(ours[0])->VerifyIdentity(context.get(), question, &answer)));
  const std::string of_same_size(answer.ByteSizeLong(), 'x');

  const pid_t postmaster = Postmaster(database);
  Series series{static_cast<double>(calls), {}, {}};
  for (int round = -1; round < rounds; ++round) {
    const Sample of_bare =
        Measure(bare.pid(), 0, [&] { CallRepeatedly(theirs, kBareEcho, of_same_size, calls, kCallsAtOnce); });
    const Sample of_us = Measure(registry.pid(), postmaster, [&] {
      CallRepeatedly(ours, kMethod, question.SerializeAsString(), calls, kCallsAtOnce);
    });
    if (round < 0) continue;  // connects
    series.bare.push_back(of_bare);
    series.ours.push_back(of_us);
  }
  Report report;
  report.Rate("VerifyIdentity", Calls(series.OurRate()),
              absl::StrCat("bare unary echo of ", of_same_size.size(), " bytes"), Calls(series.BareRate()),
              series.RateRatio(), std::nullopt);
  report.Cost("VerifyIdentity, server CPU", Micros(series.OurServerCpu()), "bare unary echo",
              Micros(series.BareServerCpu()), series.ServerCpuRatio(), kGoal);
  report.Cost("VerifyIdentity, database CPU", Micros(series.OurDatabaseCpu()), "bare unary echo",
              Micros(series.BareServerCpu()), series.OurDatabaseCpu() / series.BareServerCpu(), std::nullopt);
  std::printf("%s", report.ToString().c_str());
  return 0;
}

}  // namespace
}  // namespace countersign::load

int main(int argc, char** argv) { return countersign::load::Main(argc, argv); }
