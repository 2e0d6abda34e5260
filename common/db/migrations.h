#ifndef COUNTERSIGN_COMMON_DB_MIGRATIONS_H_
#define COUNTERSIGN_COMMON_DB_MIGRATIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/database.h"

namespace countersign::db {

// One file NNNN_name.sql, embedded by sql_migrations() of migrations.bzl.
struct Migration {
  std::string component;  // numbers count within it: "inventory", or a shared one such as "request_ids"
  int number;
  std::string name;
  std::string sql;
};

// Brings the database to the state of `components`, each the migrations of one component, in the order of the
// list:
//   db::Migrate(database, {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()})
// Each migration runs in a transaction of its own, once, also when several replicas start together (they wait
// for each other under an advisory lock). Table schema_migrations holds what was applied with its SHA-256.
//
// FAILED_PRECONDITION, with nothing changed:
//   MIGRATION_EDITED         an applied migration has other content now
//   MIGRATION_UNKNOWN        the database has one that this program does not know: it is of a newer version
//   MIGRATION_OUT_OF_ORDER   one that is not applied has a lower number than one that is
// A migration that fails leaves those before it applied; the error names it. As RunInTransaction else.
absl::Status Migrate(Database& database, absl::Span<const std::vector<Migration>> components);

// The same at the start of a service, which may be before its database's: waits up to `patience` for it to
// answer.
absl::Status MigrateWhenReady(Database& database, absl::Span<const std::vector<Migration>> components,
                              absl::Duration patience);

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_MIGRATIONS_H_
