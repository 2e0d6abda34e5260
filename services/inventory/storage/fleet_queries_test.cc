// Filters on a real PostgreSQL: what they select is compared with what they mean.
#include "services/inventory/storage/fleet_queries.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "common/version/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/inventory/domain/testing/filter_generator.h"
#include "services/inventory/domain/testing/filter_match.h"
#include "services/inventory/storage/filter_sql.h"
#include "services/inventory/storage/inventory_migrations.h"
#include "services/inventory/storage/manifest_writer.h"

namespace countersign::inventory {
namespace {

using domain::Field;
using domain::Filter;
using domain::FilterRow;
using domain::Resource;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Walk = FleetQueries::Walk;

constexpr int kEverything = 100'000;
const absl::Time kNow = absl::FromUnixSeconds(1767225600 + 1800);

std::string Tags(const std::map<std::string, std::string>& tags) { return nlohmann::json(tags).dump(); }

Filter Parsed(Resource resource, absl::string_view text) {
  absl::StatusOr<Filter> filter = domain::ParseFilter(resource, text, kNow);
  EXPECT_THAT(filter, IsOk()) << text;
  return filter.ok() ? *filter : Filter();
}
Filter Parsed(absl::string_view text) { return Parsed(Resource::kComponent, text); }

db::Options NewDatabase() {
  db::Options options;
  options.conninfo = db::TestCluster::Shared().CreateDatabase();
  options.max_connections = 1;  // so that its statistics are flushed by whoever asks for them
  return options;
}

// A fleet of a few values in all combinations, in the database and beside it.
class Fleet {
 public:
  Fleet() : database_(NewDatabase()), queries_(database_), generator_(41, Resource::kComponent, kNow) {
    EXPECT_OK(db::Migrate(database_,
                          {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()}));
    EXPECT_OK(database_.RunInTransaction("Fill", [&](db::Transaction& tx) {
      for (int i = 0; i < 40; ++i) AddGateway(tx, i);
      return absl::OkStatus();
    }));
  }

  static Fleet& Get() {
    static Fleet& fleet = *new Fleet();
    return fleet;
  }

  std::set<std::string> Expected(const Filter& filter) const {
    std::set<std::string> names;
    for (const auto& [name, row] : rows_.at(filter.resource)) {
      if (domain::Matches(filter, row)) names.insert(name);
    }
    return names;
  }

  std::set<std::string> Selected(const Filter& filter) {
    std::set<std::string> names;
    if (filter.resource == Resource::kGateway) {
      const auto gateways = queries_.ListGateways(filter, "", kEverything);
      EXPECT_THAT(gateways, IsOk());
      for (const domain::Gateway& gateway : *gateways) names.insert(gateway.id);
    } else if (filter.resource == Resource::kDevice) {
      const auto devices = queries_.ListDevices("", filter, {}, {}, kEverything);
      EXPECT_THAT(devices, IsOk());
      for (const domain::Device& device : *devices)
        names.insert(absl::StrCat(device.gateway_id, "/", device.id));
    } else {
      const auto components = queries_.ListComponents(filter, {}, {}, {}, kEverything);
      EXPECT_THAT(components, IsOk());
      for (const PlacedComponent& placed : *components) names.insert(NameOf(placed.component));
    }
    return names;
  }

  static std::string NameOf(const domain::Component& component) {
    return absl::StrCat(component.gateway_id, "/", component.ecu_serial);
  }

  db::Database database_;
  FleetQueries queries_;

 private:
  std::optional<absl::Time> SomeTime() {
    if (generator_.Below(4) == 0) return std::nullopt;
    return generator_.Time();
  }

  std::map<std::string, std::string> SomeTags() {
    std::map<std::string, std::string> tags;
    for (int more = generator_.Below(3); more > 0; --more) tags[generator_.TagName()] = generator_.TagValue();
    return tags;
  }

  // A value of one of the row's fields, kept in the row.
  std::string Text(Field field, FilterRow& row) { return row.texts[field] = generator_.Text(field); }
  int64_t Number(Field field, FilterRow& row) {
    return row.numbers[field] = generator_.Number(domain::InfoOf(field));
  }
  absl::Time Time(Field field, FilterRow& row) { return row.times[field] = generator_.Time(); }

  void AddGateway(db::Transaction& tx, int i) {
    FilterRow row;
    std::string id = generator_.Text(Field::kGateway);
    if (rows_[Resource::kGateway].contains(id)) id = absl::StrCat(id, "-", i);
    row.texts[Field::kGateway] = id;
    const std::optional<absl::Time> last = SomeTime();
    if (last.has_value()) row.times[Field::kLastManifestTime] = *last;
    row.tags = SomeTags();
    tx.exec_params(
        "INSERT INTO gateways (gateway_id, kind, display_name, public_key_pem, proxy_public_key_pem, "
        "created_at, "
        "last_manifest_at, tags) VALUES ($1, $2, $3, 'key', '', $4, $5, $6)",
        id, Number(Field::kKind, row), Text(Field::kDisplayName, row),
        db::Timestamp(Time(Field::kCreateTime, row)), db::NullableTimestamp(last), Tags(row.tags));
    rows_[Resource::kGateway].emplace(id, row);
    for (const char* device : {"d1", "d2", "d20"}) AddDevice(tx, row, device);
  }

  void AddDevice(db::Transaction& tx, const FilterRow& gateway, const std::string& id) {
    FilterRow row = gateway;
    row.texts.erase(Field::kDisplayName);
    row.texts[Field::kDevice] = id;
    row.tags = SomeTags();
    const std::string& gateway_id = row.texts[Field::kGateway];
    tx.exec_params(
        "INSERT INTO devices (gateway_id, device_id, manufacturer, model, hardware_version, app_id, "
        "app_id_status, "
        "created_at, tags) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        gateway_id, id, Text(Field::kManufacturer, row), Text(Field::kModel, row),
        Text(Field::kHardwareVersion, row), Text(Field::kAppId, row), Number(Field::kAppIdStatus, row),
        db::Timestamp(Time(Field::kCreateTime, row)), Tags(row.tags));
    rows_[Resource::kDevice].emplace(absl::StrCat(gateway_id, "/", id), row);
    for (int more = 1 + generator_.Below(3); more > 0; --more) AddComponent(tx, row, gateway.tags);
  }

  void AddComponent(db::Transaction& tx, const FilterRow& device,
                    const std::map<std::string, std::string>& more_tags) {
    FilterRow row = device;
    row.tags.insert(more_tags.begin(), more_tags.end());
    const std::string& gateway_id = row.texts[Field::kGateway];
    std::string serial = generator_.Text(Field::kEcuSerial);
    while (rows_[Resource::kComponent].contains(absl::StrCat(gateway_id, "/", serial))) serial += "-x";
    row.texts[Field::kEcuSerial] = serial;
    std::optional<std::string> version, sha256, path;
    std::optional<int64_t> counter;
    if (generator_.Below(8) != 0) {
      version = Text(Field::kVersion, row);
      sha256 = Text(Field::kSha256, row);
      path = Text(Field::kTargetPath, row);
      counter = Number(Field::kReleaseCounter, row);
    }
    const std::optional<absl::Time> first = SomeTime(), last = SomeTime();
    if (first.has_value()) row.times[Field::kFirstReportTime] = *first;
    if (last.has_value()) row.times[Field::kReportTime] = *last;
    const bool constrained = Number(Field::kConstrained, row) != 0;
    tx.exec_params(
        "INSERT INTO components (gateway_id, ecu_serial, device_id, hardware_id, public_key_pem, "
        "manufacturer, model, "
        "state, state_reason, image_path, image_length, image_sha256, image_version, image_release_counter, "
        "reported_at, attacks_detected, refused_reports, tags, image_verdict, approval_result, stopped, "
        "first_reported_at, failure_count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
        "$14, $15, "
        "$16, $17, $18, $19, $20, $21, $22, $23)",
        gateway_id, serial, row.texts[Field::kDevice], Text(Field::kHardwareId, row),
        std::string(constrained ? "" : "key"), row.texts[Field::kManufacturer], row.texts[Field::kModel],
        Number(Field::kState, row), Text(Field::kStateReason, row), path,
        version.has_value() ? std::optional<int64_t>(1) : std::nullopt, sha256, version, counter,
        db::NullableTimestamp(last), Text(Field::kAttacksDetected, row), Number(Field::kRefusedReports, row),
        Tags(row.tags), Number(Field::kImageVerdict, row), Text(Field::kApprovalResult, row),
        Number(Field::kStopped, row) != 0, db::NullableTimestamp(first), Number(Field::kFailureCount, row));
    rows_[Resource::kComponent].emplace(absl::StrCat(gateway_id, "/", serial), row);
  }

  domain::FilterGenerator generator_;
  std::map<Resource, std::map<std::string, FilterRow>> rows_;
};

// HOME-9: who runs what.
TEST(FilterSqlTest, TheDatabaseSelectsWhatAFilterMeans) {
  Fleet& fleet = Fleet::Get();
  for (const Resource resource : {Resource::kComponent, Resource::kDevice, Resource::kGateway}) {
    domain::FilterGenerator generator(static_cast<uint32_t>(resource) + 1, resource, kNow);
    int some = 0;
    for (int round = 0; round < 1500; ++round) {
      const std::string text = generator.Next();
      const absl::StatusOr<Filter> filter = domain::ParseFilter(resource, text, kNow);
      if (!filter.ok()) continue;  // too much
      const std::set<std::string> expected = fleet.Expected(*filter);
      if (!expected.empty() && expected.size() < 30) ++some;
      ASSERT_EQ(fleet.Selected(*filter), expected) << text << "\n" << domain::FormatFilter(*filter);
    }
    EXPECT_GT(some, 150) << "of the filters few would notice a mistake";
  }
}

TEST(FilterSqlTest, EveryFieldIsComparedWithEverythingThatItCanBe) {
  Fleet& fleet = Fleet::Get();
  for (const Resource resource : {Resource::kComponent, Resource::kDevice, Resource::kGateway}) {
    for (const Field field : domain::FieldsOf(resource)) {
      const domain::FieldInfo& info = domain::InfoOf(field);
      std::vector<std::string> values;
      switch (info.type) {
        case domain::FieldType::kText:
          values = {" = home-1", " = \"1\"", ":acme*",   "='\\*'",
                    ":*",        " = ''",    "=\"a%b\"", " = \"' OR '1'='1\""};
          break;
        case domain::FieldType::kVersion:
          values = {" = 1.2", " = factory", " = 1.2.*",  " = 1.*",  " = 1*",  " = 01.2.0",
                    ":*",     " < 2.0.0",   " <= 2.0.0", " > 0x0a", " >= 10", "=''"};
          break;
        case domain::FieldType::kEnum:
          for (const domain::EnumValue& value : info.values)
            values.push_back(absl::StrCat(" = ", value.name));
          values.push_back(":*");
          break;
        case domain::FieldType::kNumber:
          values = {" = 0", " > 0", " < 2", " <= 2", " >= 3", ":*", " > -9223372036854775808"};
          break;
        case domain::FieldType::kTime:
          values = {" < -6h", " <= -6h", " > -6h",        " >= -6h",
                    " = -6h", ":*",      " < 0001-01-02", " > 9999-12-30"};
          break;
        case domain::FieldType::kFlag:
          values = {" = true", " = false", ":*"};
          break;
        case domain::FieldType::kTags:
          values = {":site", ".site = berlin", ".site = b*", ".site:*", ".site = ''", ":\"' OR ''='\""};
          break;
      }
      for (const std::string& value : values) {
        for (const char* sign : {"", "NOT "}) {
          const Filter filter = Parsed(resource, absl::StrCat(sign, info.name, value));
          EXPECT_EQ(fleet.Selected(filter), fleet.Expected(filter)) << sign << info.name << value;
        }
      }
    }
  }
}

TEST(FilterSqlTest, ValuesGetIntoSqlAsParametersOnly) {
  const std::string evil = "'; DROP TABLE components; --";
  for (const char* field : {"model", "version", "tags.site", "reason", "kind"}) {
    if (std::string(field) == "kind") continue;  // takes its own names only
    Parameters parameters;
    const std::string sql = FilterCondition(Parsed(absl::StrCat(field, " = \"", evil, "\"")), parameters);
    EXPECT_EQ(sql.find("DROP"), std::string::npos) << sql;
    EXPECT_THAT(parameters.values(), ::testing::Contains(evil));
  }
  Parameters parameters;
  EXPECT_EQ(FilterCondition(Parsed(absl::StrCat("tags:\"", evil, "\"")), parameters), "c.tags ? $1");
}

TEST(FilterSqlTest, VersionsHaveOnePlaceInTheDatabaseAndBesideIt) {
  std::mt19937 random(9);
  std::vector<std::string> versions = {"",
                                       "0",
                                       "00",
                                       "1",
                                       "v1",
                                       "~1",
                                       "0x",
                                       "0xg",
                                       "0xff",
                                       "0X0",
                                       "1.",
                                       "1..2",
                                       "1.2.3.4.5.6.7",
                                       "0xffffffffffffffff",
                                       "0x8000000000000000",
                                       "0x10000000000000000",
                                       "1.2 b",
                                       std::string(50, '1'),
                                       std::string(51, '1'),
                                       std::string(60, '0') + "1",
                                       "1.ß"};
  const char alphabet[] = "000112239...~~-+axXfF ";
  for (int i = 0; i < 4000; ++i) {
    std::string version;
    for (int length = 1 + static_cast<int>(random() % 10); length > 0; --length) {
      version.push_back(alphabet[random() % (sizeof(alphabet) - 1)]);
    }
    versions.push_back(std::move(version));
  }
  EXPECT_OK(Fleet::Get().database_.Read("Versions", [&](db::Reader& reader) {
    const pqxx::result rows = reader.exec_params(
        "SELECT v, version_sort_key(v) FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY n",
        db::TextArray(versions));
    EXPECT_EQ(rows.size(), versions.size());
    for (const pqxx::row& row : rows) {
      EXPECT_EQ(db::NullableOf<std::string>(row[1]), VersionSortKey(db::TextOf(row[0])))
          << db::TextOf(row[0]);
    }
    return absl::OkStatus();
  }));
}

// What a component is ordered by, as a text that has the same order.
std::string Value(ComponentOrder::By by, const domain::Component& component) {
  const domain::ComponentStatus& status = component.status;
  switch (by) {
    case ComponentOrder::By::kReportTime:
      return absl::FormatTime("%Y%m%d%H%M%S", status.report_time.value_or(absl::UnixEpoch()),
                              absl::UTCTimeZone());
    case ComponentOrder::By::kVersion:
      return status.installed ? VersionSortKey(status.installed->version).value_or("") : "";
    case ComponentOrder::By::kRefusedReports:
      return absl::StrCat(status.refused_reports);
    case ComponentOrder::By::kName:
      return absl::StrCat(component.gateway_id, "\x01", component.ecu_serial);
    case ComponentOrder::By::kFailureCount:
      break;
  }
  return "";
}

TEST(FleetQueriesTest, PagesInEveryOrderHaveEverythingOnce) {
  Fleet& fleet = Fleet::Get();
  using By = ComponentOrder::By;
  for (const By by : {By::kName, By::kReportTime, By::kVersion, By::kFailureCount, By::kRefusedReports}) {
    for (const bool descending : {false, true}) {
      const Filter filter = Parsed("manufacturer = acme OR state = VERIFIED");
      std::set<std::string> seen;
      std::vector<std::string> after;
      std::optional<std::string> last;
      while (true) {
        ASSERT_OK_AND_ASSIGN(const auto page,
                             fleet.queries_.ListComponents(filter, {}, {by, descending}, after, 7));
        for (const PlacedComponent& placed : page) {
          EXPECT_TRUE(seen.insert(Fleet::NameOf(placed.component)).second);
          const std::string value = Value(by, placed.component);
          if (last.has_value()) {
            EXPECT_LE(descending ? value : *last, descending ? *last : value);
          }
          last = value;
        }
        if (page.empty()) break;
        after = page.back().place;
      }
      EXPECT_EQ(seen, fleet.Expected(filter));
    }
  }
}

TEST(FleetQueriesTest, BothWaysThroughASelectionHaveEverythingOnceInOrder) {
  Fleet& fleet = Fleet::Get();
  for (const char* text :
       {"", "manufacturer = acme", "kind = VEHICLE OR last_report < -24h", "model = nothing"}) {
    const Filter filter = Parsed(text);
    for (const Walk walk : {Walk::kSelect, Walk::kInOrder}) {
      std::vector<std::string> names;
      ComponentKey after;
      while (true) {
        ASSERT_OK_AND_ASSIGN(const auto batch, fleet.queries_.NextComponents(filter, {}, walk, after, 11));
        if (batch.empty()) break;
        for (const domain::Component& component : batch) names.push_back(Fleet::NameOf(component));
        after = {batch.back().gateway_id, batch.back().ecu_serial};
      }
      const std::set<std::string> expected = fleet.Expected(filter);
      EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), expected) << text;
      EXPECT_EQ(names.size(), expected.size()) << text;
    }
  }
}

// HOME-9: what is outstanding, what failed and why, in numbers.
TEST(FleetQueriesTest, CountsAreThoseOfTheSelection) {
  Fleet& fleet = Fleet::Get();
  for (const char* text : {"", "manufacturer = acme", "kind = VEHICLE", "model = nothing"}) {
    const Filter filter = Parsed(text);
    const int64_t expected = static_cast<int64_t>(fleet.Expected(filter).size());
    ASSERT_OK_AND_ASSIGN(const ComponentCounts all, fleet.queries_.CountComponents(filter, {}, {}));
    EXPECT_EQ(all.total, expected);
    EXPECT_THAT(all.groups, IsEmpty());
    for (const Field field : domain::GroupFields()) {
      ASSERT_OK_AND_ASSIGN(const ComponentCounts counts,
                           fleet.queries_.CountComponents(
                               filter, {}, {field, Field::kState == field ? Field::kKind : Field::kState}));
      EXPECT_EQ(counts.total, expected);
      int64_t sum = 0;
      for (const ComponentCount& group : counts.groups) {
        sum += group.count;
        if (field != Field::kState || group.count == 0) continue;
        const Filter both = Parsed(absl::StrCat("state = ", group.values[0], " AND kind = ", group.values[1],
                                                text[0] == '\0' ? "" : " AND ", text));
        EXPECT_EQ(group.count, static_cast<int64_t>(fleet.Expected(both).size())) << group.values[0];
      }
      EXPECT_EQ(sum, expected) << domain::InfoOf(field).name;
      EXPECT_FALSE(counts.truncated);
    }
  }
}

// Whatever happens to components, and whoever folds the counts meanwhile.
TEST(FleetQueriesTest, TheCountsThatAreKeptAreThoseOfTheComponents) {
  db::Options options = NewDatabase();
  options.max_connections = 4;
  db::Database database(options);
  ASSERT_OK(
      db::Migrate(database, {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()}));
  FleetQueries queries(database);
  InventoryStore store(database);
  const auto run = [&](const std::string& sql) {
    EXPECT_OK(database.RunInTransaction("Change", [&](db::Transaction& tx) {
      tx.exec(sql);
      return absl::OkStatus();
    }));
  };
  const auto right = [&] {
    const std::vector<Field> fields = {Field::kModel, Field::kVersion, Field::kState};
    // The second filter asks about what the counts do not have, and so reads the components.
    const auto kept = queries.CountComponents(Parsed("NOT state = RETIRED"), {}, fields);
    const auto counted = queries.CountComponents(Parsed("NOT state = RETIRED AND serial = SN*"), {}, fields);
    EXPECT_THAT(kept, IsOk());
    EXPECT_THAT(counted, IsOk());
    EXPECT_EQ(kept->total, counted->total);
    EXPECT_EQ(kept->groups.size(), counted->groups.size());
    for (size_t i = 0; i < std::min(kept->groups.size(), counted->groups.size()); ++i) {
      EXPECT_EQ(kept->groups[i].values, counted->groups[i].values);
      EXPECT_EQ(kept->groups[i].count, counted->groups[i].count);
    }
    return kept->total;
  };
  run("INSERT INTO components (gateway_id, ecu_serial, device_id, hardware_id, public_key_pem, manufacturer, "
      "model, state) "
      "SELECT 'home-' || n, 'SN-' || n, 'd', 'hw', 'key', 'acme', 'T' || n % 3, 1 FROM generate_series(1, "
      "300) n");
  EXPECT_EQ(right(), 300);
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 3; ++writer) {
    writers.emplace_back([&, writer] {
      for (int round = 0; round < 15; ++round) {
        run(absl::StrCat("UPDATE components SET state = ", 2 + round % 6, ", image_version = '1.", round % 4,
                         "' WHERE right(ecu_serial, 1) = '", writer * 3 + round % 3, "'"));
        EXPECT_THAT(store.CountStates(), IsOk());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  right();
  run("DELETE FROM components WHERE right(ecu_serial, 1) = '4'");
  run("UPDATE components SET report_counter = report_counter + 1");
  right();
  ASSERT_OK_AND_ASSIGN(const auto states, store.CountStates());
  int64_t sum = 0;
  for (const auto& [state, count] : states) sum += count;
  EXPECT_EQ(sum, 270);
  right();
  run("SELECT recount_components()");
  right();
}

TEST(FleetQueriesTest, ManufacturersAndGatewaysCountAndListTheirOwn) {
  Fleet& fleet = Fleet::Get();
  Visibility visibility;
  visibility.manufacturer = "acme";
  ASSERT_OK_AND_ASSIGN(const ComponentCounts acme,
                       fleet.queries_.CountComponents(Parsed(""), visibility, {Field::kManufacturer}));
  EXPECT_EQ(acme.total, static_cast<int64_t>(fleet.Expected(Parsed("manufacturer = acme")).size()));
  ASSERT_EQ(acme.groups.size(), 1u);
  EXPECT_THAT(acme.groups[0].values, ElementsAre("acme"));
  ASSERT_OK_AND_ASSIGN(const auto none,
                       fleet.queries_.ListComponents(Parsed("manufacturer = zenith OR acme*"), visibility, {},
                                                     {}, kEverything));
  for (const PlacedComponent& placed : none) EXPECT_EQ(placed.component.manufacturer, "acme");
  visibility = {};
  visibility.gateway_id = "home-1";
  ASSERT_OK_AND_ASSIGN(
      const ComponentCounts home,
      fleet.queries_.CountComponents(Parsed("NOT state = RETIRED OR state = RETIRED"), visibility, {}));
  EXPECT_EQ(home.total, static_cast<int64_t>(fleet.Expected(Parsed("gateway = home-1")).size()));
}

// What a report rewrites has no index: with each index that it had to change, a report would cost several
// times more.
TEST(FleetQueriesTest, AReportThatSaysWhatTheLastOneSaidStaysInItsPage) {
  db::Database database(NewDatabase());
  ASSERT_OK(
      db::Migrate(database, {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()}));
  ASSERT_OK(database.RunInTransaction("Fill", [&](db::Transaction& tx) {
    tx.exec(
        "INSERT INTO gateways (gateway_id, kind, display_name, public_key_pem, proxy_public_key_pem, "
        "created_at) "
        "VALUES ('home', 1, '', 'key', '', now())");
    tx.exec("INSERT INTO serials SELECT 'SN-' || n, 'home' FROM generate_series(1, 5) n");
    tx.exec(
        "INSERT INTO components (gateway_id, ecu_serial, device_id, hardware_id, public_key_pem, "
        "manufacturer, "
        "model, state) SELECT 'home', 'SN-' || n, 'd', 'hw', 'key', 'acme', 'T1000', 1 FROM "
        "generate_series(1, 5) n");
    return absl::OkStatus();
  }));
  InventoryStore store(database);
  const auto updates = [&](const char* table) {
    return *database.Read("Updates", [&](db::Reader& reader) -> absl::StatusOr<std::pair<int64_t, int64_t>> {
      reader.exec("SELECT pg_stat_force_next_flush()");
      const pqxx::result rows = reader.exec(absl::StrCat(
          "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '", table, "'"));
      return std::pair(rows[0][0].as<int64_t>(), rows[0][1].as<int64_t>());
    });
  };
  const auto report = [&](int64_t counter, absl::Time now, const std::string& version) {
    const std::string nonce = absl::StrCat("nonce ", counter);
    domain::CheckedManifest manifest{"home", nonce, counter, {}};
    for (int n = 1; n <= 5; ++n) {
      domain::CheckedReport checked;
      checked.ecu_serial = absl::StrCat("SN-", n);
      checked.report.emplace();
      checked.report->ecu_serial = checked.ecu_serial;
      checked.report->version = version;
      checked.report->report_counter = counter;
      checked.report->nonce = nonce;
      manifest.reports.push_back(std::move(checked));
    }
    ManifestWriter writer(database, {.encode = [](const domain::Component&) { return std::string("x"); }});
    absl::Notification done;
    writer.Submit(std::move(manifest), now, [&](absl::StatusOr<std::vector<ReportOutcome>> outcomes) {
      EXPECT_THAT(outcomes, IsOk());
      done.Notify();
    });
    done.WaitForNotification();
  };
  report(1, kNow, "1.0.0");
  const auto before = updates("components");
  const auto gateways_before = updates("gateways");
  for (int64_t counter = 2; counter <= 5; ++counter) report(counter, kNow + absl::Minutes(counter), "1.0.0");
  const auto after = updates("components");
  const auto gateways_after = updates("gateways");
  EXPECT_EQ(after.first - before.first, 20);
  EXPECT_EQ(after.second - before.second, 20) << "updates that stayed in their page";
  EXPECT_EQ(gateways_after.first - gateways_before.first, 4);
  EXPECT_EQ(gateways_after.second - gateways_before.second, 4);
  // A change does touch indexes, and so does the next six hours' first report.
  report(6, kNow + absl::Minutes(6), "1.0.1");
  report(7, kNow + absl::Hours(7), "1.0.1");
  EXPECT_EQ(updates("components").second, after.second);
}

TEST(FleetQueriesTest, AnExplanationTellsTheIndexAndAWholeReading) {
  Fleet& fleet = Fleet::Get();
  ASSERT_OK(fleet.database_.Read("Analyze", [](db::Reader& reader) {
    reader.exec("ANALYZE");
    return absl::OkStatus();
  }));
  ASSERT_OK_AND_ASSIGN(const Explanation own,
                       fleet.queries_.Explain(Parsed("gateway = home-1 AND serial = SN-1"), {}));
  EXPECT_FALSE(own.full_scan) << own.plan;
  EXPECT_THAT(own.indexes, ::testing::Not(IsEmpty()));
  EXPECT_LT(own.estimated_rows, 10);
  ASSERT_OK_AND_ASSIGN(const Explanation all,
                       fleet.queries_.Explain(Parsed("target_path:x* OR constrained = true"), {}));
  EXPECT_TRUE(all.full_scan) << all.plan;
  EXPECT_THAT(all.plan, ::testing::HasSubstr("Seq Scan"));
}

}  // namespace
}  // namespace countersign::inventory
