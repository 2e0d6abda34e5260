#include "common/db/migrations.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/db/sql.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::db {
namespace {

// Any constant, known to this file only; the lock is per database.
constexpr char kLock[] = "SELECT pg_advisory_xact_lock(4850317208165307392)";

constexpr char kCreate[] = R"sql(
  CREATE TABLE IF NOT EXISTS schema_migrations (
    component text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (component, number)
  )
)sql";

constexpr char kSelect[] = "SELECT component, number, name, sha256 FROM schema_migrations";

constexpr char kInsert[] = R"sql(
  INSERT INTO schema_migrations (component, number, name, sha256)
  VALUES ($1, $2, $3, encode(sha256(convert_to($4, 'UTF8')), 'hex'))
)sql";

constexpr char kDigest[] = "SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')";

using Key = std::pair<std::string, int>;

std::string Label(absl::string_view component, int number, absl::string_view name) {
  return absl::StrFormat("%s/%04d_%s", component, number, name);
}

std::string Label(const Migration& migration) {
  return Label(migration.component, migration.number, migration.name);
}

absl::Status Refuse(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, reason, message);
}

// What is still to do, in order.
absl::StatusOr<std::vector<const Migration*>> Pending(Transaction& tx,
                                                      absl::Span<const Migration* const> all) {
  std::map<Key, const Migration*> known;
  for (const Migration* migration : all) known[{migration->component, migration->number}] = migration;

  std::map<Key, std::string> applied;  // to the digest
  std::map<std::string, int> newest;   // of each component
  for (const pqxx::row& row : tx.exec(kSelect)) {
    const Key key(TextOf(row["component"]), row["number"].as<int>());
    if (!known.contains(key)) {
      return Refuse(
          "MIGRATION_UNKNOWN",
          absl::StrCat("The database has migration ", Label(key.first, key.second, row["name"].c_str()),
                       ", which this program does not know: start a program at least as new as the one that "
                       "made it, or restore the database from before."));
    }
    applied[key] = TextOf(row["sha256"]);
    newest[key.first] = std::max(newest[key.first], key.second);
  }

  std::vector<const Migration*> pending;
  for (const Migration* migration : all) {
    const auto found = applied.find({migration->component, migration->number});
    if (found == applied.end()) {
      if (newest.contains(migration->component) && migration->number < newest[migration->component]) {
        return Refuse(
            "MIGRATION_OUT_OF_ORDER",
            absl::StrCat("Migration ", Label(*migration), " was added below ", newest[migration->component],
                         ", which this database has already: give it a number above all others."));
      }
      pending.push_back(migration);
    } else if (found->second != tx.exec_params1(kDigest, migration->sql)[0].c_str()) {
      return Refuse("MIGRATION_EDITED", absl::StrCat("Migration ", Label(*migration),
                                                     " was edited after this database applied it: restore "
                                                     "its content and put the change into a new migration."));
    }
  }
  return pending;
}

// Takes the lock and applies the first pending migration. Returns whether there was one.
absl::StatusOr<bool> ApplyNext(Database& database, absl::Span<const Migration* const> all) {
  std::string label;
  absl::StatusOr<bool> applied =
      database.RunInTransaction("Migrate", [&](Transaction& tx) -> absl::StatusOr<bool> {
        // Building an index takes its time, and so does waiting for another replica that does.
        tx.exec("SET LOCAL statement_timeout = 0");
        tx.exec(kLock);
        tx.exec(kCreate);
        label.clear();
        ASSIGN_OR_RETURN(const std::vector<const Migration*> pending, Pending(tx, all));
        if (pending.empty()) return false;
        const Migration& migration = *pending.front();
        label = Label(migration);
        tx.exec(migration.sql);
        tx.exec_params0(kInsert, migration.component, migration.number, migration.name, migration.sql);
        return true;
      });
  if (!applied.ok() && !label.empty()) return Annotate(applied.status(), absl::StrCat("migration ", label));
  if (applied.ok() && *applied) log::Info("migration applied", {{"migration", label}});
  return applied;
}

}  // namespace

absl::Status Migrate(Database& database, absl::Span<const std::vector<Migration>> components) {
  std::vector<const Migration*> all;
  for (const std::vector<Migration>& component : components) {
    for (const Migration& migration : component) all.push_back(&migration);
  }
  while (true) {
    ASSIGN_OR_RETURN(const bool more, ApplyNext(database, all));
    if (!more) return absl::OkStatus();
  }
}

absl::Status MigrateWhenReady(Database& database, absl::Span<const std::vector<Migration>> components,
                              absl::Duration patience) {
  constexpr absl::Duration kRetry = absl::Milliseconds(500);
  const absl::Time give_up = SystemClock().Now() + patience;
  while (true) {
    const absl::Status status = Migrate(database, components);
    if (!absl::IsUnavailable(status) || SystemClock().Now() >= give_up) return status;
    log::Warn("the database does not answer yet", {{"status", status}});
    absl::SleepFor(kRetry);
  }
}

}  // namespace countersign::db
