#include "services/inventory/workers/housekeeping.h"

#include <string>

#include "absl/strings/str_cat.h"
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

TEST(HousekeepingTest, ItCountsStatesAndDeletesWhatWasKeptLongEnough) {
  db::Options options;
  options.conninfo = db::TestCluster::Shared().CreateDatabase();
  db::Database database(options);
  ASSERT_OK(
      db::Migrate(database, {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()}));
  InventoryStore store(database);
  const auto execute = [&](const std::string& sql) {
    return database.RunInTransaction("Execute", [&](db::Transaction& tx) {
      tx.exec(sql);
      return absl::OkStatus();
    });
  };
  ASSERT_OK(
      execute("INSERT INTO components (gateway_id, ecu_serial, device_id, hardware_id, public_key_pem, "
              "manufacturer, model, state) VALUES ('g', 'a', 'd', 'h', '', 'm', 'm', 5), "
              "('g', 'b', 'd', 'h', '', 'm', 'm', 2), ('g', 'c', 'd', 'h', '', 'm', 'm', 2)"));
  ASSERT_OK(
      execute("INSERT INTO refused_reports (gateway_id, received_at, manifest_counter, ecu_serial, reason, "
              "message, report) VALUES ('g', now() - interval '91 days', 1, 'a', 'R', 'm', ''), "
              "('g', now(), 1, 'a', 'R', 'm', '')"));
  ASSERT_OK(
      execute("INSERT INTO outbox (kind, key, payload, created_at) "
              "VALUES ('k', 'k', '', now() - interval '8 days'), ('k', 'k', '', now())"));
  ASSERT_OK(
      execute("INSERT INTO request_ids (principal, method, request_id, request_digest, created_at) "
              "VALUES ('p', 'm', '1', '', now() - interval '3 days'), ('p', 'm', '2', '', now())"));

  metrics::Registry registry;
  Housekeeping housekeeping(database, store, registry, {});
  ASSERT_OK(housekeeping.CountStates());
  EXPECT_THAT(registry.Serialize(), HasSubstr("countersign_inventory_components{state=\"verified\"} 2"));
  EXPECT_THAT(registry.Serialize(), HasSubstr("countersign_inventory_components{state=\"compromised\"} 1"));
  EXPECT_THAT(registry.Serialize(), HasSubstr("countersign_inventory_components{state=\"retired\"} 0"));

  ASSERT_OK(housekeeping.Purge());
  for (const char* table : {"refused_reports", "outbox", "request_ids"}) {
    EXPECT_THAT(
        database.Read("Count",
                      [&](db::Reader& reader) -> absl::StatusOr<int> {
                        return reader.exec(absl::StrCat("SELECT count(*) FROM ", table))[0][0].as<int>();
                      }),
        IsOkAndHolds(1))
        << table;
  }
}

}  // namespace
}  // namespace countersign::inventory
