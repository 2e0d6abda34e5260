// The history by month, and the migration that brought it.
#include "services/inventory/storage/history.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/follower_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inventory/storage/inventory_migrations.h"

namespace countersign::inventory {
namespace {

using ::testing::ElementsAre;

const absl::Time kJanuary = absl::FromUnixSeconds(1767225600);  // 2026-01-01

class HistoryTest : public ::testing::Test {
 protected:
  HistoryTest() : database_(OptionsOf(db::TestCluster::Shared().CreateDatabase())), history_(database_) {}

  static db::Options OptionsOf(std::string conninfo) {
    db::Options options;
    options.conninfo = std::move(conninfo);
    return options;
  }
  absl::Status Migrate() {
    return db::Migrate(database_, {db::RequestIdsMigrations(), feed::OutboxMigrations(),
                                   feed::FollowerMigrations(), InventoryMigrations()});
  }
  void Execute(const std::string& sql) {
    EXPECT_OK(database_.RunInTransaction("Execute", [&](db::Transaction& tx) -> absl::Status {
      tx.exec(sql);
      return absl::OkStatus();
    })) << sql;
  }
  std::vector<std::string> Strings(const std::string& sql) {
    const auto strings =
        database_.Read("Strings", [&](db::Reader& reader) -> absl::StatusOr<std::vector<std::string>> {
          std::vector<std::string> found;
          for (const pqxx::row& row : reader.exec(sql)) found.push_back(db::TextOf(row[0]));
          return found;
        });
    EXPECT_OK(strings) << sql;
    return *strings;
  }
  // Which partition has the change of this serial number.
  std::vector<std::string> PlaceOf(const std::string& serial) {
    return Strings(absl::StrCat("SELECT tableoid::regclass::text FROM component_history WHERE ecu_serial = '",
                                serial, "'"));
  }
  std::vector<std::string> Partitions() {
    return Strings(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'component_history'::regclass ORDER BY 1");
  }
  void AddChange(const std::string& serial, const std::string& at) {
    Execute(
        absl::StrCat("INSERT INTO component_history (gateway_id, ecu_serial, changed_at, manifest_counter, "
                     "report_counter, state, "
                     "state_reason, software_versions, attacks_detected) VALUES ('g', '",
                     serial, "', '", at, "', 1, 1, 2, '', '{}', '')"));
  }

  db::Database database_;
  History history_;
};

TEST_F(HistoryTest, TheMigrationCarriesOverWhatWasThere) {
  const std::vector<db::Migration> all = InventoryMigrations();
  ASSERT_OK(db::Migrate(database_, {db::RequestIdsMigrations(), feed::OutboxMigrations(),
                                    std::vector<db::Migration>(all.begin(), all.begin() + 1)}));
  Execute(
      "INSERT INTO gateways (gateway_id, kind, display_name, public_key_pem, proxy_public_key_pem, "
      "created_at) "
      "VALUES ('g', 1, '', 'k', '', now())");
  for (const char* serial : {"a", "b"}) {
    Execute(
        absl::StrCat("INSERT INTO components (gateway_id, ecu_serial, device_id, hardware_id, "
                     "public_key_pem, manufacturer, model, "
                     "state, image_path, image_length, image_sha256, image_version, image_release_counter, "
                     "reported_at) VALUES "
                     "('g', '",
                     serial, "', 'd', 'h', '', 'm', 'm', 2, '', 1, 'x', '1', 0, '2026-01-20')"));
    for (const char* at : {"2025-11-30 23:59:59+00", "2025-12-01 00:00:00+00", "2026-01-15 12:00:00+00"}) {
      Execute(
          absl::StrCat("INSERT INTO component_history (gateway_id, ecu_serial, changed_at, manifest_counter, "
                       "report_counter, "
                       "state, state_reason, image_path, image_length, image_sha256, image_version, "
                       "image_release_counter, "
                       "software_versions, attacks_detected) VALUES ('g', '",
                       serial, "', '", at, "', 1, 1, 2, '', '', 1, 'x', '1', 0, '{}', '')"));
    }
  }
  ASSERT_OK(Migrate());
  EXPECT_THAT(Partitions(), ElementsAre("component_history_202511", "component_history_202512",
                                        "component_history_202601", "component_history_default"));
  ASSERT_OK_AND_ASSIGN(const std::vector<domain::ComponentChange> changes,
                       history_.ListChanges("g", "a", {}, std::nullopt, 10));
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].time, absl::FromCivil(absl::CivilSecond(2026, 1, 15, 12), absl::UTCTimeZone()));
  EXPECT_EQ(changes[0].cause, domain::ChangeCause::kReport);
  EXPECT_EQ(changes[2].status.installed->sha256, "x");
  EXPECT_THAT(Strings("SELECT (first_reported_at AT TIME ZONE 'UTC')::date::text FROM components"),
              ElementsAre("2025-11-30", "2025-11-30"));
  // Numbers go on after those that were carried over.
  AddChange("a", "2026-01-15 12:00:00+00");
  EXPECT_EQ(history_.ListChanges("g", "a", {}, std::nullopt, 10)->size(), 4u);
}

TEST_F(HistoryTest, PartitionsAreMadeAheadAndTakeWhatCameBeforeThem) {
  ASSERT_OK(Migrate());
  AddChange("early", "2026-01-10");
  EXPECT_THAT(PlaceOf("early"), ElementsAre("component_history_default"));
  EXPECT_THAT(history_.MakePartitions(kJanuary + absl::Hours(24), 2), IsOkAndHolds(3));
  EXPECT_THAT(history_.MakePartitions(kJanuary + absl::Hours(24), 2), IsOkAndHolds(0));
  EXPECT_THAT(Partitions(), ElementsAre("component_history_202601", "component_history_202602",
                                        "component_history_202603", "component_history_default"));
  EXPECT_THAT(PlaceOf("early"), ElementsAre("component_history_202601"));
  AddChange("february", "2026-02-28 23:59:59.999+00");
  EXPECT_THAT(PlaceOf("february"), ElementsAre("component_history_202602"));
  AddChange("march", "2026-03-01 00:00:00+00");
  EXPECT_THAT(PlaceOf("march"), ElementsAre("component_history_202603"));
}

TEST_F(HistoryTest, ReplicasThatComeTogetherMakeEachPartitionOnce) {
  ASSERT_OK(Migrate());
  std::vector<std::thread> threads;
  std::atomic<int> made = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto count = history_.MakePartitions(kJanuary, 3);
      EXPECT_OK(count);
      made += *count;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 4);
}

TEST_F(HistoryTest, WholeMonthsGoWhenTheyAreOldEnough) {
  ASSERT_OK(Migrate());
  ASSERT_OK(history_.MakePartitions(kJanuary, 2));
  AddChange("january", "2026-01-31 23:00:00+00");
  AddChange("february", "2026-02-01 00:00:00+00");
  AddChange("ancient", "2020-01-01");
  EXPECT_THAT(history_.DropPartitions(absl::FromCivil(absl::CivilDay(2026, 1, 31), absl::UTCTimeZone())),
              IsOkAndHolds(0));
  EXPECT_THAT(PlaceOf("ancient"), ElementsAre()) << "also what no partition was made for";
  EXPECT_THAT(history_.DropPartitions(absl::FromCivil(absl::CivilDay(2026, 2, 1), absl::UTCTimeZone())),
              IsOkAndHolds(1));
  EXPECT_THAT(PlaceOf("january"), ElementsAre());
  EXPECT_THAT(PlaceOf("february"), ElementsAre("component_history_202602"));
}

}  // namespace
}  // namespace countersign::inventory
