// The storage on a real PostgreSQL, for what the tests of the whole service do not reach.
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "common/crypto/random.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inventory/storage/fleet_queries.h"
#include "services/inventory/storage/gateway_keys.h"
#include "services/inventory/storage/inventory_migrations.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/manifest_writer.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

using domain::State;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kNonce[] = "00112233445566778899aabbccddeeff";
const absl::Time kNow = absl::FromUnixSeconds(1767225600);

std::string Encode(const domain::Component& component) {
  return absl::StrCat(component.ecu_serial, " ", domain::StateName(component.status.state));
}

class StorageTest : public ::testing::Test {
 protected:
  StorageTest() : database_(OptionsOf(db::TestCluster::Shared().CreateDatabase())), store_(database_) {
    EXPECT_OK(db::Migrate(database_,
                          {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()}));
  }

  static db::Options OptionsOf(std::string conninfo) {
    db::Options options;
    options.conninfo = std::move(conninfo);
    return options;
  }

  static std::string NewKey() {
    return crypto::PemSigner::Generate(crypto::KeyType::kEd25519)->public_key().Pem();
  }

  void AddGateway(const std::string& id) {
    domain::Gateway gateway;
    gateway.id = id;
    gateway.public_key_pem = NewKey();
    gateway.create_time = kNow;
    EXPECT_OK(store_.CreateGateway({"operator/alice", "CreateGateway", crypto::Uuid(), id}, gateway,
                                   [](const domain::Gateway& created) { return created.id; }));
  }

  void AddDevice(const std::string& gateway_id, const std::string& device_id,
                 const std::vector<std::string>& serials) {
    domain::Device device;
    device.gateway_id = gateway_id;
    device.id = device_id;
    device.manufacturer = "acme";
    device.model = "T1000";
    device.hardware_version = "1";
    device.create_time = kNow;
    for (const std::string& serial : serials) {
      domain::Component& component = device.components.emplace_back();
      component.gateway_id = gateway_id;
      component.device_id = device_id;
      component.ecu_serial = serial;
      component.hardware_id = "hw-1";
      component.public_key_pem = NewKey();
    }
    EXPECT_OK(store_.CreateDevice(
        {"operator/alice", "CreateDevice", crypto::Uuid(), device_id}, device,
        [](const domain::Device& created) { return created.id; }, Encode));
  }

  static domain::CheckedReport GoodReport(const std::string& serial, int64_t counter) {
    domain::CheckedReport report;
    report.ecu_serial = serial;
    report.report.emplace();
    report.report->ecu_serial = serial;
    report.report->version = "1.0.0";
    report.report->report_counter = counter;
    report.report->nonce = kNonce;
    return report;
  }
  static domain::CheckedReport RefusedReport(const std::string& serial, const char* reason) {
    domain::CheckedReport report;
    report.ecu_serial = serial;
    report.refusal = domain::Refusal{reason, "because"};
    return report;
  }

  absl::StatusOr<std::vector<ReportOutcome>> Write(ManifestWriter& writer, domain::CheckedManifest manifest) {
    absl::StatusOr<std::vector<ReportOutcome>> result;
    absl::Notification done;
    writer.Submit(std::move(manifest), kNow, [&](absl::StatusOr<std::vector<ReportOutcome>> outcomes) {
      result = std::move(outcomes);
      done.Notify();
    });
    done.WaitForNotification();
    return result;
  }

  int64_t Count(const std::string& table) {
    return *database_.Read("Count", [&](db::Reader& reader) -> absl::StatusOr<int64_t> {
      return reader.exec("SELECT count(*) FROM " + table)[0][0].as<int64_t>();
    });
  }

  db::Database database_;
  InventoryStore store_;
};

TEST_F(StorageTest, ManyManifestsShareABatchAndEachHasItsOwnOutcome) {
  constexpr int kGateways = 50;
  for (int i = 0; i < kGateways; ++i) {
    const std::string id = absl::StrCat("home-", i);
    AddGateway(id);
    AddDevice(id, "d", {absl::StrCat("a-", i), absl::StrCat("b-", i)});
  }
  ManifestWriter writer(database_, {.encode = Encode});
  absl::Mutex mutex;
  std::map<std::string, absl::StatusOr<std::vector<ReportOutcome>>> results;
  for (int i = 0; i < kGateways; ++i) {
    const std::string id = absl::StrCat("home-", i);
    // Every fifth has a counter that is not above the last one, which is 0.
    domain::CheckedManifest manifest{id, kNonce, i % 5 == 0 ? 0 : 1, {}};
    manifest.reports.push_back(GoodReport(absl::StrCat("a-", i), 1));
    manifest.reports.push_back(RefusedReport(absl::StrCat("b-", i), domain::kReportSignatureInvalid));
    manifest.reports.push_back(RefusedReport(absl::StrCat("a-", (i + 1) % kGateways), domain::kOtherGateway));
    writer.Submit(std::move(manifest), kNow, [&, id](absl::StatusOr<std::vector<ReportOutcome>> outcomes) {
      absl::MutexLock lock(&mutex);
      results[id] = std::move(outcomes);
    });
  }
  writer.Stop();
  ASSERT_EQ(results.size(), static_cast<size_t>(kGateways));
  for (int i = 0; i < kGateways; ++i) {
    const auto& outcomes = results[absl::StrCat("home-", i)];
    if (i % 5 == 0) {
      EXPECT_THAT(outcomes, StatusIs(absl::StatusCode::kFailedPrecondition, "COUNTER_REPLAYED"));
      continue;
    }
    ASSERT_OK(outcomes);
    ASSERT_EQ(outcomes->size(), 3u);
    EXPECT_FALSE((*outcomes)[0].refusal.has_value());
    EXPECT_EQ((*outcomes)[0].state, State::kVerified);
    EXPECT_EQ((*outcomes)[1].state, State::kCompromised);
    EXPECT_EQ((*outcomes)[2].state, std::nullopt);
  }
  ASSERT_OK_AND_ASSIGN(const auto counts, store_.CountStates());
  EXPECT_EQ(counts.at(State::kVerified), 40);
  EXPECT_EQ(counts.at(State::kCompromised), 40);
  EXPECT_EQ(counts.at(State::kUnverified), 20);
  EXPECT_EQ(counts.at(State::kRetired), 0);
  EXPECT_EQ(Count("component_history"), 80);
  EXPECT_EQ(Count("refused_reports"), 80);
  EXPECT_EQ(Count("outbox"), 180) << "100 provisioned, 80 changed";
}

TEST_F(StorageTest, AChallengeIsSpentAlsoWithinABatch) {
  AddGateway("home");
  AddDevice("home", "d", {"a"});
  ManifestWriter writer(database_, {.encode = Encode});
  std::atomic<int> taken = 0;
  std::atomic<int> refused = 0;
  for (int i = 1; i <= 20; ++i) {
    domain::CheckedManifest manifest{"home", kNonce, i, {}};
    manifest.reports.push_back(GoodReport("a", i));
    writer.Submit(std::move(manifest), kNow, [&](absl::StatusOr<std::vector<ReportOutcome>> outcomes) {
      if (outcomes.ok()) ++taken;
      if (ReasonOf(outcomes.status()) == "NONCE_MISMATCH") ++refused;
    });
  }
  writer.Stop();
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(refused, 19);
}

TEST_F(StorageTest, WhatIsUnchangedMovesTheCounterOnly) {
  AddGateway("home");
  AddDevice("home", "d", {"a"});
  int changes = 0;
  {
    ManifestWriter writer(database_, {.encode = Encode, .on_change = [&] { ++changes; }});
    for (int i = 1; i <= 3; ++i) {
      const std::string nonce = absl::StrCat(kNonce, i);
      domain::CheckedManifest manifest{"home", nonce, i, {}};
      manifest.reports.push_back(GoodReport("a", i * 10));
      manifest.reports.back().report->nonce = nonce;
      ASSERT_OK(Write(writer, std::move(manifest)));
    }
  }
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(Count("component_history"), 1);
  ASSERT_OK_AND_ASSIGN(const auto components,
                       FleetQueries(database_).NextComponents({}, {}, FleetQueries::Walk::kSelect, {}, 10));
  ASSERT_EQ(components.size(), 1u);
  EXPECT_EQ(components[0].status.report_counter, 30);
  EXPECT_EQ(components[0].status.report_time, kNow);
  ASSERT_OK_AND_ASSIGN(const domain::Gateway gateway, store_.GetGateway("home"));
  EXPECT_EQ(gateway.last_manifest_counter, 3);
  EXPECT_EQ(gateway.last_manifest_time, kNow);
}

// What is touched without a look must be exactly what a look would leave as it is.
TEST_F(StorageTest, AReportIsLookedAtWheneverSomethingIsNotAsTheLastOneSaid) {
  AddGateway("home");
  AddDevice("home", "d", {"a", "b"});
  ManifestWriter writer(database_, {.encode = Encode});
  int counter = 0;
  const auto report = [&](const std::function<void(trust::VersionReport&)>& change) {
    ++counter;
    const std::string nonce = absl::StrFormat("%032d", counter);
    domain::CheckedManifest manifest{"home", nonce, counter, {}};
    for (const char* serial : {"a", "b"}) {
      manifest.reports.push_back(GoodReport(serial, counter));
      manifest.reports.back().report->nonce = nonce;
    }
    change(*manifest.reports[0].report);
    const auto outcomes = Write(writer, std::move(manifest));
    EXPECT_OK(outcomes);
    return *outcomes;
  };
  const auto reason = [](const ReportOutcome& outcome) {
    return outcome.refusal.has_value() ? outcome.refusal->reason : "";
  };
  const auto same = [](trust::VersionReport&) {};
  report(same);
  report(same);
  EXPECT_EQ(Count("component_history"), 2);
  report([](auto& r) { r.version = "2.0.0"; });
  EXPECT_EQ(Count("component_history"), 3) << "a's other version";
  report([](auto& r) { r.version = "2.0.0"; });
  EXPECT_EQ(Count("component_history"), 3);

  auto outcomes = report([](auto& r) { r.report_counter = 1, r.version = "2.0.0"; });
  EXPECT_EQ(reason(outcomes[0]), domain::kCounterReplayed);
  EXPECT_EQ(outcomes[0].state, State::kCompromised);
  EXPECT_EQ(outcomes[1].state, State::kVerified);
  outcomes = report([](auto& r) { r.version = "2.0.0"; });
  EXPECT_EQ(outcomes[0].state, State::kVerified) << "the next good one";
  EXPECT_EQ(Count("component_history"), 5);

  outcomes = report([](auto& r) { r.nonce = "an older one", r.version = "2.0.0"; });
  EXPECT_EQ(reason(outcomes[0]), domain::kNonceMismatch);
  outcomes = report([](auto& r) { r.proxied = true, r.version = "2.0.0"; });
  EXPECT_EQ(outcomes[0].state, State::kProxied);
  EXPECT_EQ(Count("component_history"), 6);
  EXPECT_EQ(Count("refused_reports"), 2);

  // What a person ordered stays.
  ASSERT_OK(database_.RunInTransaction("Quarantine", [](db::Transaction& tx) {
    tx.exec("UPDATE components SET state = 6 WHERE ecu_serial = 'b'");
    return absl::OkStatus();
  }));
  outcomes = report([](auto& r) { r.proxied = true, r.version = "2.0.0"; });
  EXPECT_EQ(outcomes[0].state, State::kProxied);
  EXPECT_EQ(outcomes[1].state, State::kQuarantined);
  ASSERT_OK_AND_ASSIGN(const auto components,
                       FleetQueries(database_).NextComponents({}, {}, FleetQueries::Walk::kSelect, {}, 10));
  for (const domain::Component& component : components) EXPECT_EQ(component.status.report_counter, counter);
}

TEST_F(StorageTest, AnUnknownGatewayIsToldAsSuch) {
  ManifestWriter writer(database_, {.encode = Encode});
  EXPECT_THAT(Write(writer, {"nobody", kNonce, 1, {}}),
              StatusIs(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN"));
  GatewayKeyCache keys(database_, 10);
  EXPECT_THAT(keys.Get("nobody"), StatusIs(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN"));
}

TEST_F(StorageTest, KeysAreKeptUpToABoundAndReadAnewWhenAsked) {
  for (const char* id : {"home-1", "home-2", "home-3"}) {
    AddGateway(id);
    AddDevice(id, "d", {absl::StrCat(id, "-a"), absl::StrCat(id, "-b")});
  }
  GatewayKeyCache keys(database_, 6);  // two gateways of three
  const auto first = *keys.Get("home-1");
  EXPECT_EQ(first->components.size(), 2u);
  EXPECT_EQ(*keys.Get("home-1"), first) << "the same object";
  ASSERT_OK(keys.Get("home-2"));
  ASSERT_OK(keys.Get("home-1"));
  ASSERT_OK(keys.Get("home-3"));
  EXPECT_EQ(*keys.Get("home-1"), first) << "home-2 was used longest ago";

  AddDevice("home-1", "late", {"home-1-c"});
  EXPECT_EQ((*keys.Get("home-1"))->components.size(), 2u);
  EXPECT_EQ((*keys.Reload("home-1"))->components.size(), 3u);
  EXPECT_EQ((*keys.Get("home-1"))->components.size(), 3u);
}

TEST_F(StorageTest, SerialsAreFoundWithTheirGateways) {
  AddGateway("home-1");
  AddGateway("home-2");
  AddDevice("home-1", "d", {"a"});
  AddDevice("home-2", "d", {"b"});
  EXPECT_THAT(*store_.FindGateways({"b", "nothing", "a"}),
              ElementsAre(std::pair("a", "home-1"), std::pair("b", "home-2")));
  EXPECT_THAT(*store_.FindGateways({}), IsEmpty());
}

TEST_F(StorageTest, RefusedReportsAreDeletedWhenTheyAreOld) {
  AddGateway("home");
  ManifestWriter writer(database_, {.encode = Encode});
  domain::CheckedManifest manifest{"home", kNonce, 1, {}};
  for (int i = 0; i < 1000; ++i) manifest.reports.push_back(RefusedReport("", domain::kReportMalformed));
  for (int i = 0; i < 500; ++i) manifest.reports.push_back(RefusedReport("x", domain::kUnknownComponent));
  ASSERT_OK(Write(writer, std::move(manifest)));
  EXPECT_THAT(store_.PurgeRefusedReports(kNow), IsOkAndHolds(0));
  EXPECT_THAT(store_.PurgeRefusedReports(kNow + absl::Seconds(1)), IsOkAndHolds(1500));
  EXPECT_EQ(Count("refused_reports"), 0);
}

TEST(RowsTest, SoftwareVersionsAreReadBack) {
  const std::map<std::string, std::string> versions = {{"boot \"loader\"", "1.0"}, {"os", "\\2"}};
  EXPECT_EQ(DecodeVersions(EncodeVersions(versions)), versions);
  EXPECT_EQ(EncodeVersions({}), "{}");
  EXPECT_THAT(DecodeVersions("{}"), IsEmpty());
  EXPECT_THAT(DecodeVersions("nonsense"), IsEmpty());
}

}  // namespace
}  // namespace countersign::inventory
