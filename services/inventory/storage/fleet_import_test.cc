// Import on a real PostgreSQL.
#include "services/inventory/storage/fleet_import.h"

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inventory/storage/inventory_migrations.h"

namespace countersign::inventory {
namespace {

using ::testing::HasSubstr;
using Result = Imported::Result;

std::string NewKey() { return crypto::PemSigner::Generate(crypto::KeyType::kEd25519)->public_key().Pem(); }
std::string Encode(const domain::Component& component) { return component.ecu_serial; }

class FleetImportTest : public ::testing::Test {
 protected:
  FleetImportTest() : database_(Options()), import_(database_) {
    EXPECT_OK(db::Migrate(database_,
                          {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()}));
  }

  static db::Options Options() {
    db::Options options;
    options.conninfo = db::TestCluster::Shared().CreateDatabase();
    return options;
  }

  // `count` homes with a device of two components each; always the same for the same numbers.
  FleetPart Homes(int first, int count) {
    FleetPart part;
    for (int i = first; i < first + count; ++i) {
      domain::Gateway& gateway = part.gateways.emplace_back();
      gateway.id = absl::StrCat("home-", i);
      gateway.public_key_pem = Key(gateway.id);
      gateway.create_time = absl::FromUnixSeconds(1767225600);
      gateway.tags = {{"site", "berlin"}, {"ring", "broad"}};
      domain::Device& device = part.devices.emplace_back();
      device.gateway_id = gateway.id;
      device.id = "d";
      device.manufacturer = "acme";
      device.model = "T1000";
      device.hardware_version = "1";
      device.create_time = gateway.create_time;
      device.tags = {{"ring", "canary"}};
      for (const char* letter : {"a", "b"}) {
        domain::Component& component = device.components.emplace_back();
        component.gateway_id = gateway.id;
        component.device_id = device.id;
        component.ecu_serial = absl::StrCat("SN-", i, letter);
        component.hardware_id = "hw";
        component.public_key_pem = Key(component.ecu_serial);
        component.manufacturer = device.manufacturer;
        component.model = device.model;
      }
    }
    return part;
  }
  std::string Key(const std::string& of) {
    const auto [key, first] = keys_.try_emplace(of);
    if (first) key->second = NewKey();
    return key->second;
  }

  ImportedPart Take(const FleetPart& part, bool dry_run = false) {
    absl::StatusOr<ImportedPart> imported = import_.Take(part, dry_run, Encode);
    EXPECT_THAT(imported, IsOk());
    return imported.ok() ? *imported : ImportedPart();
  }

  int64_t Count(const std::string& from) {
    return *database_.Read("Count", [&](db::Reader& reader) -> absl::StatusOr<int64_t> {
      return reader.exec("SELECT count(*) FROM " + from)[0][0].as<int64_t>();
    });
  }

  db::Database database_;
  FleetImport import_;
  std::map<std::string, std::string> keys_;
};

TEST_F(FleetImportTest, WhatIsNotThereIsCreatedOnce) {
  const FleetPart part = Homes(0, 50);
  for (const Result expected : {Result::kCreated, Result::kUnchanged}) {
    const ImportedPart imported = Take(part);
    ASSERT_EQ(imported.gateways.size(), 50u);
    ASSERT_EQ(imported.devices.size(), 50u);
    for (const Imported& one : imported.gateways) EXPECT_EQ(one.result, expected);
    for (const Imported& one : imported.devices) EXPECT_EQ(one.result, expected) << one.problem;
    EXPECT_EQ(Count("gateways"), 50);
    EXPECT_EQ(Count("devices"), 50);
    EXPECT_EQ(Count("serials"), 100);
    EXPECT_EQ(Count("components WHERE state = 1 AND tags = '{\"site\": \"berlin\", \"ring\": \"canary\"}'"),
              100);
    EXPECT_EQ(Count("outbox"), 100) << "watchers hear of each component once";
  }
}

TEST_F(FleetImportTest, ADryRunSaysTheSameAndChangesNothing) {
  Take(Homes(0, 1));
  const FleetPart part = Homes(0, 3);
  const ImportedPart dry = Take(part, true);
  EXPECT_EQ(Count("gateways"), 1);
  EXPECT_EQ(Count("components"), 2);
  const ImportedPart real = Take(part);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(dry.gateways[i].result, real.gateways[i].result);
    EXPECT_EQ(dry.devices[i].result, real.devices[i].result);
    EXPECT_EQ(real.devices[i].result, i == 0 ? Result::kUnchanged : Result::kCreated);
  }
}

TEST_F(FleetImportTest, WhatIsThereAndDiffersIsToldAndLeftAlone) {
  Take(Homes(0, 9));
  FleetPart part = Homes(0, 9);
  part.gateways[0].kind = domain::GatewayKind::kVehicle;
  part.gateways[1].display_name = "other";
  part.gateways[2].public_key_pem = NewKey();
  part.gateways[3].tags.clear();
  part.devices[0].manufacturer = "zenith";
  part.devices[1].model = "T2000";
  part.devices[2].tags["ring"] = "early";
  part.devices[3].components[1].hardware_id = "other";
  part.devices[4].components[0].public_key_pem = NewKey();
  part.devices[5].components.pop_back();
  part.devices[6].components[1].ecu_serial = "SN-new";
  part.devices[7].app_id = "Ra01.com.acme.t";
  const ImportedPart imported = Take(part);
  const char* gateway_words[] = {"its kind is \"HOME\" and not \"VEHICLE\"", "display_name", "another key",
                                 "tags"};
  const char* device_words[] = {"its manufacturer is \"acme\" and not \"zenith\"",
                                "model",
                                "tags",
                                "hardware_id of SN-3b",
                                "another key of SN-4a",
                                "number of components is \"2\"",
                                "without a component SN-new",
                                "app_id"};
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(imported.gateways[i].problem, StatusIs(absl::StatusCode::kAlreadyExists, "DIFFERS"));
    EXPECT_THAT(std::string(imported.gateways[i].problem.message()), HasSubstr(gateway_words[i]));
  }
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT(imported.devices[i].problem, StatusIs(absl::StatusCode::kAlreadyExists, "DIFFERS"));
    EXPECT_THAT(std::string(imported.devices[i].problem.message()), HasSubstr(device_words[i]));
  }
  EXPECT_EQ(imported.devices[8].result, Result::kUnchanged);
  const ImportedPart again = Take(Homes(0, 9));
  for (const Imported& one : again.gateways) EXPECT_EQ(one.result, Result::kUnchanged) << one.problem;
  for (const Imported& one : again.devices) EXPECT_EQ(one.result, Result::kUnchanged) << one.problem;
}

TEST_F(FleetImportTest, WhatCannotBeTakenStopsNothingElse) {
  Take(Homes(0, 1));
  FleetPart part = Homes(1, 5);
  part.devices[0].components[0].ecu_serial = "SN-0a";                                   // somebody's
  part.devices[1].gateway_id = "nowhere";                                               // nobody's
  part.devices[2].components[1].public_key_pem = part.gateways[2].public_key_pem;       // its gateway's
  part.devices[3].components[0].ecu_serial = part.devices[4].components[0].ecu_serial;  // twice in one import
  const ImportedPart imported = Take(part);
  EXPECT_THAT(imported.devices[0].problem, StatusIs(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN"));
  EXPECT_THAT(imported.devices[1].problem, StatusIs(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN"));
  EXPECT_THAT(imported.devices[2].problem, StatusIs(absl::StatusCode::kInvalidArgument, "KEY_INVALID"));
  EXPECT_EQ(imported.devices[3].result, Result::kCreated);
  EXPECT_THAT(imported.devices[4].problem, StatusIs(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN"));
  EXPECT_EQ(Count("gateways"), 6);
  EXPECT_EQ(Count("devices"), 2);
}

TEST_F(FleetImportTest, TwoWhoImportTheSameCreateItOnce) {
  const FleetPart part = Homes(0, 100);
  std::atomic<int> created = 0;
  std::vector<std::thread> importers;
  for (int importer = 0; importer < 4; ++importer) {
    importers.emplace_back([&] {
      while (true) {
        const auto imported = import_.Take(part, false, Encode);
        if (imported.status().code() == absl::StatusCode::kAlreadyExists) continue;  // as its contract says
        ASSERT_THAT(imported, IsOk());
        for (const Imported& one : imported->devices) created += one.result == Result::kCreated ? 1 : 0;
        return;
      }
    });
  }
  for (std::thread& importer : importers) importer.join();
  EXPECT_EQ(created, 100);
  EXPECT_EQ(Count("components"), 200);
}

}  // namespace
}  // namespace countersign::inventory
