// Manifests: what is taken, what is refused and why, and what is kept of it.
#include <optional>

#include "nlohmann/json.hpp"
#include "services/inventory/testing/world.h"

namespace countersign::inventory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class IngestTest : public WorldTest {};

// HOME-1, HOME-2, FOTA-D
TEST_F(IngestTest, ASignedManifestBringsTheSituationToTheInventory) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("ACCEPTED"));
  EXPECT_EQ(response.results(0).state(), v1::Component::STATE_VERIFIED);

  const v1::Component component = GetComponent(serial);
  EXPECT_EQ(component.state(), v1::Component::STATE_VERIFIED);
  EXPECT_EQ(component.installed().version(), "1.0.0");
  EXPECT_EQ(component.installed().sha256(), std::string(64, 'a'));
  EXPECT_EQ(component.installed().target_path(), "acme/thermostat/thermostat-1.0.0.bin");
  EXPECT_EQ(component.software_versions().at("bootloader"), "3.1");
  EXPECT_EQ(component.report_counter(), 1);
  EXPECT_TRUE(component.has_report_time());
  v1::GetGatewayRequest get;
  get.set_name("gateways/" + home.id);
  EXPECT_EQ(Call(*operator_, &Stub::GetGateway, get)->last_manifest_counter(), 1);
}

// FOTA-H
TEST_F(IngestTest, TheReportAfterAnUpdateIsAChangeWithAHistory) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  nonce = home.Challenge();
  trust::VersionReport report = home.Report(serial, nonce);
  report.version = "2.0.0";
  report.sha256 = std::string(64, 'b');
  report.release_counter = 2;
  ASSERT_OK(home.Submit(nonce, {home.Sign(report, home.components.at(serial))}));
  EXPECT_EQ(GetComponent(serial).installed().version(), "2.0.0");

  const pqxx::result history =
      world_->Sql("SELECT image_version, manifest_counter FROM component_history WHERE ecu_serial = '" +
                  serial + "' ORDER BY id");
  ASSERT_EQ(history.size(), 2u) << "the second manifest said nothing new";
  EXPECT_EQ(history[0][0].as<std::string>(), "1.0.0");
  EXPECT_EQ(history[1][0].as<std::string>(), "2.0.0");
  EXPECT_EQ(history[1][1].as<int>(), 3);
}

TEST_F(IngestTest, AManifestSentAgainChangesNothingAndSaysSo) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  const std::string manifest = home.SignManifest(home.Manifest(nonce, {home.SignedReport(serial, nonce)}));
  ASSERT_OK(home.Submit(manifest));
  const std::string before = GetComponent(serial).SerializeAsString();
  EXPECT_THAT(home.Submit(manifest), StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  home.Challenge();
  EXPECT_THAT(home.Submit(manifest), StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  EXPECT_EQ(GetComponent(serial).SerializeAsString(), before);
}

TEST_F(IngestTest, OfTheSameManifestSentAtOnceExactlyOneIsTaken) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  const std::string manifest = home.SignManifest(home.Manifest(nonce, {home.SignedReport(serial, nonce)}));
  metrics::Registry metrics;
  const std::unique_ptr<App> replica = world_->StartReplica(metrics);
  const std::unique_ptr<Stub> other_stub = world_->StubAs({Role::kGateway, home.id}, *replica);
  std::atomic<int> taken = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      v1::SubmitManifestRequest request;
      request.set_manifest(manifest);
      const auto response = Call(i % 2 == 0 ? *home.stub : *other_stub, &Stub::SubmitManifest, request);
      if (response.ok()) {
        ++taken;
      } else if (ReasonOf(response.status()) == "NONCE_MISMATCH") {
        ++refused;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(refused, 7);
  EXPECT_EQ(GetComponent(serial).refused_reports(), 0);
}

TEST_F(IngestTest, AReplicaTakesTheAnswerToAnothersChallenge) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  metrics::Registry metrics;
  const std::unique_ptr<App> replica = world_->StartReplica(metrics);
  const std::string nonce = home.Challenge();
  home.stub = world_->StubAs({Role::kGateway, home.id}, *replica);
  EXPECT_THAT(ReasonsOf(*home.Submit(nonce, {home.SignedReport(serial, nonce)})), ElementsAre("ACCEPTED"));
}

// HOME-1
TEST_F(IngestTest, ADeviceThatDoesNotProveItselfIsRecordedAsSuchAndStopsNoOther) {
  Home home = NewHome();
  const std::string good = AddDevice(home);
  const std::string bad = AddDevice(home);
  std::string nonce = home.Challenge();
  ASSERT_OK_AND_ASSIGN(
      v1::SubmitManifestResponse response,
      home.Submit(nonce, {home.Sign(home.Report(bad, nonce), NewSigner()), home.SignedReport(good, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("SIGNATURE_INVALID", "ACCEPTED"));
  EXPECT_EQ(response.results(0).ecu_serial(), bad);
  EXPECT_EQ(response.results(0).state(), v1::Component::STATE_COMPROMISED);
  v1::Component component = GetComponent(bad);
  EXPECT_EQ(component.state(), v1::Component::STATE_COMPROMISED);
  EXPECT_EQ(component.state_reason(), "SIGNATURE_INVALID");
  EXPECT_EQ(component.refused_reports(), 1);
  EXPECT_FALSE(component.has_installed());
  const pqxx::result evidence = world_->Sql(
      "SELECT reason, convert_from(report, 'UTF8') FROM refused_reports "
      "WHERE gateway_id = '" +
      home.id + "'");
  ASSERT_EQ(evidence.size(), 1u);
  EXPECT_EQ(evidence[0][0].as<std::string>(), "SIGNATURE_INVALID");
  EXPECT_THAT(evidence[0][1].as<std::string>(), HasSubstr(bad));

  nonce = home.Challenge();
  ASSERT_OK_AND_ASSIGN(response, home.Submit(nonce, {home.SignedReport(bad, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("ACCEPTED"));
  component = GetComponent(bad);
  EXPECT_EQ(component.state(), v1::Component::STATE_VERIFIED) << "its last report proved itself";
  EXPECT_EQ(component.state_reason(), "");
  EXPECT_EQ(component.refused_reports(), 1);
}

TEST_F(IngestTest, AGatewayCannotSpeakForAnotherHome) {
  Home home = NewHome();
  Home victim = NewHome();
  const std::string stolen = AddDevice(victim);
  const std::string before = GetComponent(stolen).SerializeAsString();

  const std::string nonce = home.Challenge();
  // With the device's own key even, and with a nonsense signature.
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(nonce, {victim.SignedReport(stolen, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("OTHER_GATEWAY"));
  EXPECT_EQ(response.results(0).state(), v1::Component::STATE_UNSPECIFIED) << "nothing is told of the victim";
  EXPECT_EQ(GetComponent(stolen).SerializeAsString(), before);
  EXPECT_EQ(world_
                ->Sql("SELECT FROM refused_reports WHERE reason = 'OTHER_GATEWAY' AND gateway_id = '" +
                      home.id + "'")
                .size(),
            1u);
  EXPECT_EQ(world_->Sql("SELECT FROM refused_reports WHERE gateway_id = '" + victim.id + "'").size(), 0u);

  // A whole manifest of the other home, even one that its gateway signed.
  const std::string victims_nonce = victim.Challenge();
  const std::string manifest =
      victim.SignManifest(victim.Manifest(victims_nonce, {victim.SignedReport(stolen, victims_nonce)}));
  EXPECT_THAT(home.Submit(manifest), StatusIs(kPermissionDenied, "GATEWAY_MISMATCH"));
  EXPECT_OK(victim.Submit(manifest)) << "the victim's challenge is not spent";
}

TEST_F(IngestTest, AForgedManifestIsRefused) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  const std::string good = home.SignManifest(home.Manifest(nonce, {home.SignedReport(serial, nonce)}));
  nlohmann::json altered = nlohmann::json::parse(good);
  altered["signed"]["manifest_counter"] = 1000;
  EXPECT_THAT(home.Submit(altered.dump()), StatusIs(kInvalidArgument, "MANIFEST_SIGNATURE_INVALID"));
  altered = nlohmann::json::parse(good);
  altered["signatures"] = nlohmann::json::array();
  EXPECT_THAT(home.Submit(altered.dump()), StatusIs(kInvalidArgument, "MANIFEST_SIGNATURE_INVALID"));
  EXPECT_OK(home.Submit(good)) << "the challenge is not spent by a forgery";
}

TEST_F(IngestTest, CountersNeverFall) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  std::string nonce = home.Challenge();
  home.manifest_counter = 10;
  home.report_counters[serial] = 10;
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));

  nonce = home.Challenge();
  home.manifest_counter = 10;
  EXPECT_THAT(home.Submit(nonce, {home.SignedReport(serial, nonce)}),
              StatusIs(kFailedPrecondition, "COUNTER_REPLAYED"));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_VERIFIED);

  home.report_counters[serial] = 10;
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("COUNTER_REPLAYED"));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_COMPROMISED);
  EXPECT_EQ(GetComponent(serial).report_counter(), 11);
}

TEST_F(IngestTest, OnlyAChallengeThatWasGivenCountsAndNotForEver) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string unasked(32, '0');
  EXPECT_THAT(home.Submit(unasked, {home.SignedReport(serial, unasked)}),
              StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  Home other = NewHome();
  const std::string of_another = other.Challenge();
  EXPECT_THAT(home.Submit(of_another, {home.SignedReport(serial, of_another)}),
              StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  const std::string nonce = home.Challenge();
  world_->clock_.Advance(absl::Seconds(601));
  EXPECT_THAT(home.Submit(nonce, {home.SignedReport(serial, nonce)}),
              StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  const std::string fresh = home.Challenge();
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(fresh, {home.SignedReport(serial, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("NONCE_MISMATCH")) << "an old report within a new manifest";
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_UNVERIFIED);
  EXPECT_EQ(GetComponent(serial).refused_reports(), 1);
}

// FOTA-K
TEST_F(IngestTest, AConstrainedComponentIsVouchedForByItsGatewaysProxyKeyOnly) {
  Home home = NewHome();
  const std::string constrained = AddDevice(home, /*constrained=*/true);
  const std::string able = AddDevice(home);
  std::string nonce = home.Challenge();
  trust::VersionReport report = home.Report(constrained, nonce);
  report.proxied = true;
  trust::VersionReport claimed = home.Report(able, nonce);
  claimed.proxied = true;
  ASSERT_OK_AND_ASSIGN(
      v1::SubmitManifestResponse response,
      home.Submit(nonce, {home.Sign(report, home.proxy_key), home.Sign(claimed, home.proxy_key)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("ACCEPTED", "NOT_PROXIED"));
  EXPECT_EQ(GetComponent(constrained).state(), v1::Component::STATE_PROXIED);
  EXPECT_EQ(GetComponent(able).state(), v1::Component::STATE_COMPROMISED);

  nonce = home.Challenge();
  report = home.Report(constrained, nonce);
  ASSERT_OK_AND_ASSIGN(response, home.Submit(nonce, {home.Sign(report, home.proxy_key)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("NOT_PROXIED"));
  nonce = home.Challenge();
  report = home.Report(constrained, nonce);
  report.proxied = true;
  ASSERT_OK_AND_ASSIGN(response, home.Submit(nonce, {home.Sign(report, home.key)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("SIGNATURE_INVALID"));
}

TEST_F(IngestTest, UnknownAndUnreadableReportsStopNoOther) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  nlohmann::json manifest = home.Manifest(nonce, {home.Sign(home.Report("SN-unknown", nonce), NewSigner()),
                                                  home.SignedReport(serial, nonce)})
                                .ToEnvelope()
                                .content();
  manifest["reports"].push_back("nonsense");
  trust::Envelope envelope = trust::Envelope::Unsigned(manifest);
  ASSERT_OK(envelope.Sign(home.key));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response, home.Submit(envelope.Serialise()));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("UNKNOWN_COMPONENT", "ACCEPTED", "REPORT_MALFORMED"));
}

TEST_F(IngestTest, ADeviceThatIsProvisionedLaterIsKnownAtOnce) {
  Home home = NewHome();
  const std::string first = AddDevice(home);
  std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(first, nonce)}));
  const std::string second = AddDevice(home);
  nonce = home.Challenge();
  EXPECT_THAT(ReasonsOf(*home.Submit(nonce, {home.SignedReport(second, nonce)})), ElementsAre("ACCEPTED"));
}

TEST_F(IngestTest, NonsenseAndTooMuchAreRefused) {
  Home home = NewHome();
  for (const std::string& bytes :
       {std::string(), std::string("nonsense"), std::string("{}"), std::string("[[[[[[[[[["),
        std::string("\0\xff", 2), std::string(1 << 20, ' ') + " ",
        std::string("{\"signatures\":[],\"signed\":{\"_type\":\"root\"}}")}) {
    const auto response = home.Submit(bytes);
    EXPECT_THAT(response, StatusIs(kInvalidArgument,
                                   ::testing::AnyOf("MANIFEST_MALFORMED", "MANIFEST_SIGNATURE_INVALID")))
        << bytes.substr(0, 30);
  }
  std::vector<trust::Envelope> reports;
  const PemSigner signer = NewSigner();
  trust::VersionReport report;
  report.ecu_serial = "x";
  for (int i = 0; i < 1001; ++i) reports.push_back(report.ToEnvelope());
  EXPECT_THAT(home.Submit(home.Challenge(), std::move(reports)),
              StatusIs(kInvalidArgument, "MANIFEST_MALFORMED"));
  EXPECT_OK(home.Submit(home.Challenge(), {})) << "an empty home is a situation too";
}

TEST_F(IngestTest, AGatewayThatIsNotProvisionedGetsNoChallenge) {
  Home home;
  home.id = NewId("home");
  home.stub = world_->StubAs({Role::kGateway, home.id});
  EXPECT_THAT(Call(*home.stub, &Stub::CreateChallenge, v1::CreateChallengeRequest()),
              StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
  EXPECT_THAT(home.Submit(std::string(32, '0'), {}), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
}

// A manifest of 100 MB never reaches the service: the transport refuses it while it comes.
TEST_F(IngestTest, AHundredMegabytesAreRefusedAndTheServiceGoesOn) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const auto response = home.Submit(std::string(100 << 20, 'x'));
  EXPECT_THAT(response, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("larger than max"));
  const std::string nonce = home.Challenge();
  EXPECT_THAT(ReasonsOf(*home.Submit(nonce, {home.SignedReport(serial, nonce)})), ElementsAre("ACCEPTED"));
}

TEST_F(IngestTest, TenThousandComponentsInOneManifestAreRefusedWithWhatIsAllowed) {
  Home home = NewHome();
  nlohmann::json manifest = home.Manifest(home.Challenge(), {}).ToEnvelope().content();
  for (int i = 0; i < 10'000; ++i) manifest["reports"].push_back(0);
  trust::Envelope envelope = trust::Envelope::Unsigned(manifest);
  ASSERT_OK(envelope.Sign(home.key));
  const auto response = home.Submit(envelope.Serialise());
  EXPECT_THAT(response, StatusIs(kInvalidArgument, "MANIFEST_MALFORMED"));
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("1000 reports"));
}

TEST_F(IngestTest, EachGatewayIsToldWhenToComeAgainAndTheyDoNotComeTogether) {
  Home home = NewHome();
  std::set<int64_t> delays;
  for (int i = 0; i < 20; ++i) {
    const auto response = home.Submit(home.Challenge(), {});
    ASSERT_OK(response);
    const auto& delay = response->next_report_delay();
    const absl::Duration duration = absl::Seconds(delay.seconds()) + absl::Nanoseconds(delay.nanos());
    EXPECT_GE(duration, absl::Seconds(2700));
    EXPECT_LT(duration, absl::Seconds(4500));
    delays.insert(delay.seconds());
  }
  EXPECT_GT(delays.size(), 10u);
}

// A burst beyond what the replica takes: refused with a delay, nothing is lost and the challenge is not
// spent.
TEST_F(IngestTest, WhatThereIsNoRoomForIsToComeAgainLater) {
  metrics::Registry metrics;
  Config config = world_->ConfigOfReplica(metrics);
  config.max_ingest_mib = 1;
  const std::unique_ptr<App> replica = world_->StartReplica(config);
  const auto big = [&](Home& home) {
    home.stub = world_->StubAs({Role::kGateway, home.id}, *replica);
    const std::string nonce = home.Challenge();
    const PemSigner signer = NewSigner();
    std::vector<trust::Envelope> reports;
    for (int i = 0; i < 400; ++i) {
      trust::VersionReport report = home.Report(absl::StrCat("SN-of-", home.id, "-", i), nonce);
      report.attacks_detected = std::string(1000, 'x');
      reports.push_back(report.ToEnvelope());
    }
    return home.SignManifest(home.Manifest(nonce, std::move(reports)));
  };
  Home first = NewHome();
  Home second = NewHome();
  const std::string manifest = big(first);
  const std::string other = big(second);
  ASSERT_GT(manifest.size(), size_t{512} << 10);
  ASSERT_LT(manifest.size(), size_t{1} << 20);

  // Somebody holds the first one's gateway, so that it waits to be written.
  pqxx::connection connection(world_->database_);
  std::optional<pqxx::work> lock(std::in_place, connection);
  lock->exec("SELECT FROM gateways WHERE gateway_id = '" + first.id + "' FOR UPDATE");
  std::thread waiting([&] { EXPECT_OK(first.Submit(manifest)); });
  while (world_->Sql("SELECT FROM pg_locks WHERE NOT granted").empty()) {
  }
  // The client would try again by itself.
  rpc::Dialer dialer(world_->pki_.TlsFor({Role::kGateway, second.id}));
  second.stub = v1::InventoryService::NewStub(dialer.Dial(
      absl::StrCat("127.0.0.1:", replica->grpc_port()), {Role::kService, "inventory"}, {.max_attempts = 1}));
  const auto refused = second.Submit(other);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted, "INGEST_FULL"));
  const std::optional<absl::Duration> delay = rpc::RetryDelayOf(refused.status());
  ASSERT_TRUE(delay.has_value());
  EXPECT_GE(*delay, absl::Seconds(1));
  EXPECT_LT(*delay, absl::Seconds(3));
  EXPECT_THAT(metrics.Serialize(), HasSubstr("countersign_inventory_manifests_turned_away_total 1"));
  lock.reset();
  waiting.join();
  EXPECT_OK(second.Submit(other)) << "the same bytes, later";
}

}  // namespace
}  // namespace countersign::inventory
