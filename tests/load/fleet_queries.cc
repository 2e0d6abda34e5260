// A fleet of a large operator in the real inventory: the time to load it, its size on disk, and the time of
// the questions that are asked most, through the service with mutual TLS. Every count is compared with what
// was generated. Run it with tests/load/inventory.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <pqxx/pqxx>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/clock/clock.h"
#include "common/db/testing/test_cluster.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing/test_server.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "services/inventory/app.h"
#include "tests/load/fleet_data.h"
#include "tests/load/measure.h"

namespace countersign::load {
namespace {

namespace v1 = ::countersign::inventory::v1;
using rpc::Role;
using Stub = v1::InventoryService::Stub;

struct Options {
  int64_t gateways = 1'000'000;
  int rounds = 20;
  int shared_buffers_mib = 2048;
  uint64_t seed = 1;
};

// A filter that an operator is likely to write, and what it means for what was generated.
struct Likely {
  std::string filter;
  std::function<bool(const FleetGateway&, const FleetDevice&, const FleetComponent&)> means;
  bool many = false;  // it selects so much that reading everything is right
  int64_t expected = 0;
};

std::string Millis(double seconds) { return absl::StrFormat("%.1f ms", seconds * 1e3); }
std::string Size(int64_t bytes) {
  return absl::StrFormat("%.0f MiB", static_cast<double>(bytes) / (1 << 20));
}

class Benchmark {
 public:
  explicit Benchmark(const Options& options)
      : options_(options),
        now_(SystemClock().Now()),
        fleet_(options.seed, now_),
        random_(static_cast<uint32_t>(options.seed)),
        cluster_({.shared_buffers_mib = options.shared_buffers_mib}),
        database_(cluster_.CreateDatabase()) {
    Start();
    app_.reset();  // it has migrated the database; what it counts by itself would share the load's time
    MakeLikely();
  }

  int Run() {
    const LoadTimes times = LoadFleet(database_, fleet_, options_.gateways,
                                      [this](const FleetGateway& gateway) { Tally(gateway); });
    std::printf("%s gateways, %s devices, %s components; seed %s\n", absl::StrCat(options_.gateways).c_str(),
                absl::StrCat(devices_).c_str(), absl::StrCat(components_).c_str(),
                absl::StrCat(options_.seed).c_str());
    std::printf("loaded in %.0f s: COPY %.0f s, indexes %.0f s, VACUUM ANALYZE %.0f s\n\n",
                times.copy_seconds + times.index_seconds + times.analyze_seconds, times.copy_seconds,
                times.index_seconds, times.analyze_seconds);
    PrintSizes();
    Start();
    const bool right = Check();
    Measure();
    std::printf("%s\n", table_.ToString().c_str());
    app_.reset();
    PrintUpdates();
    return right ? 0 : 1;
  }

 private:
  void Start() {
    inventory::Config config;
    config.server.tls = pki_.TlsFor({Role::kService, "inventory"});
    metrics_ = std::make_unique<metrics::Registry>();
    config.server.registry = metrics_.get();
    config.database = database_;
    config.appid_registry_address = "127.0.0.1:1";  // nothing is provisioned through the service
    auto app = inventory::App::Start(config);
    if (!app.ok()) {
      std::fprintf(stderr, "%s\n", app.status().ToString().c_str());
      std::abort();
    }
    app_ = *std::move(app);
    const rpc::Dialer dialer(pki_.TlsFor({Role::kOperator, "ops"}));
    stub_ = v1::InventoryService::NewStub(
        dialer.Dial(absl::StrCat("127.0.0.1:", app_->grpc_port()), {Role::kService, "inventory"}));
  }

  void MakeLikely() {
    using G = const FleetGateway&;
    using D = const FleetDevice&;
    using C = const FleetComponent&;
    const FleetGateway home = fleet_.Gateway(options_.gateways / 3);
    const FleetDevice& device = home.devices[0];
    const FleetComponent& component = device.components[0];
    const std::string version = FleetData::Version(3, 1);
    const auto reported = [](C c) { return !c.version.empty(); };
    const auto add = [&](std::string filter, auto means, bool many = false) {
      likely_.push_back({std::move(filter), means, many});
    };
    add(
        "", [](G, D, C) { return true; }, true);
    add(absl::StrCat("gateway = ", home.id), [=](G g, D, C) { return g.id == home.id; });
    add("gateway = car-00000*", [](G g, D, C) { return g.id.starts_with("car-00000"); });
    add(absl::StrCat("gateway = ", home.id, " AND device = device-1"),
        [=](G g, D d, C) { return g.id == home.id && d.id == "device-1"; });
    add(absl::StrCat("serial = ", component.serial), [=](G, D, C c) { return c.serial == component.serial; });
    add(component.serial, [=](G, D, C c) { return c.serial == component.serial; });
    add(absl::StrCat("\"", component.serial.substr(0, 15), "*\""),
        [=](G, D, C c) { return c.serial.starts_with(component.serial.substr(0, 15)); });
    add("manufacturer = maker-39", [](G, D d, C) { return d.manufacturer == "maker-39"; });
    add("model = M0500", [](G, D d, C) { return d.model == "M0500"; });
    add("manufacturer = maker-03 AND model = M0003", [](G, D d, C) { return d.model == "M0003"; });
    add("model = M050*", [](G, D d, C) { return d.model.starts_with("M050"); });
    add("hardware = hw-77-1", [](G, D, C c) { return c.hardware_id == "hw-77-1"; });
    add(absl::StrCat("model = M0003 AND version = ", version),
        [=](G, D d, C c) { return d.model == "M0003" && c.version == version; });
    add("model = M0503 AND version = 1.*",
        [](G, D d, C c) { return d.model == "M0503" && c.version.starts_with("1."); });
    add("state = COMPROMISED", [](G, D, C c) { return c.state == 5; });
    add("state = MODIFIED OR state = QUARANTINED", [](G, D, C c) { return c.state == 4 || c.state == 6; });
    add("NOT state = VERIFIED AND NOT state = PROXIED AND NOT state = UNVERIFIED",
        [](G, D, C c) { return c.state > 3; });
    add("reason = IMAGE_UNKNOWN", [](G, D, C c) { return c.reason == "IMAGE_UNKNOWN"; });
    add("reason = SIGNATURE_INVALID AND manufacturer = maker-01",
        [](G, D d, C c) { return c.reason == "SIGNATURE_INVALID" && d.manufacturer == "maker-01"; });
    add("verdict = DIFFERS", [](G, D, C c) { return c.verdict == 4; });
    add(absl::StrCat("digest = ", FleetData::Digest(700, FleetData::Version(700, 2))),
        [digest = FleetData::Digest(700, FleetData::Version(700, 2))](G, D, C c) {
          return c.sha256 == digest;
        });
    add("last_report < -24h AND NOT state = RETIRED", [=, now = now_](G, D, C c) {
      return reported(c) && c.report < now - absl::Hours(24) && c.state != 7;
    });
    add("last_report < -24h AND model = M0001", [=, now = now_](G, D d, C c) {
      return reported(c) && c.report < now - absl::Hours(24) && d.model == "M0001";
    });
    add("failures > 0", [](G, D, C c) { return c.failures > 0; });
    add("failures >= 3 AND manufacturer = maker-00",
        [](G, D d, C c) { return c.failures >= 3 && d.manufacturer == "maker-00"; });
    add("refused_reports > 5", [](G, D, C c) { return c.refused > 5; });
    add("tags.ring = canary AND model = M0002",
        [](G g, D d, C) { return g.ring == "canary" && d.model == "M0002"; });
    add("tags.site = site-150", [](G g, D, C) { return g.site == "site-150"; });
    add("tags.site = site-199 AND state = COMPROMISED",
        [](G g, D, C c) { return g.site == "site-199" && c.state == 5; });
    add("app_id_status = NOT_REGISTERED", [](G, D d, C) { return d.app_id_status == 2; });
    add("kind = VEHICLE AND state = COMPROMISED", [](G g, D, C c) { return g.vehicle && c.state == 5; });
    add(
        "kind = VEHICLE", [](G g, D, C) { return g.vehicle; }, true);
    add(
        "state = VERIFIED", [](G, D, C c) { return c.state == 2; }, true);
  }

  void Tally(const FleetGateway& gateway) {
    devices_ += static_cast<int64_t>(gateway.devices.size());
    for (const FleetDevice& device : gateway.devices) {
      components_ += static_cast<int64_t>(device.components.size());
      for (const FleetComponent& component : device.components) {
        for (Likely& likely : likely_) likely.expected += likely.means(gateway, device, component) ? 1 : 0;
      }
    }
  }

  void PrintSizes() {
    Table table({"TABLE", "ROWS", "HEAP", "INDEXES", "B/ROW"});
    pqxx::connection connection(database_);
    pqxx::nontransaction transaction(connection);
    int64_t all = 0;
    for (const char* name : {"gateways", "devices", "serials", "components"}) {
      const pqxx::row row =
          transaction.exec1(absl::StrFormat("SELECT reltuples::bigint, pg_table_size(oid), "
                                            "pg_indexes_size(oid) FROM pg_class WHERE oid = '%s'::regclass",
                                            name));
      const int64_t rows = row[0].as<int64_t>(), heap = row[1].as<int64_t>(), indexes = row[2].as<int64_t>();
      all += heap + indexes;
      table.Add({name, absl::StrCat(rows), Size(heap), Size(indexes),
                 absl::StrCat((heap + indexes) / std::max<int64_t>(rows, 1))});
    }
    table.Add({"together", "", Size(all), "", ""});
    std::printf("%s\n", table.ToString().c_str());
    Table indexes({"INDEX", "SIZE"});
    for (const pqxx::row& row :
         transaction.exec("SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes WHERE "
                          "relname IN ('gateways', 'devices', "
                          "'components') ORDER BY 2 DESC")) {
      indexes.Add({row[0].as<std::string>(), Size(row[1].as<int64_t>())});
    }
    std::printf("%s\n", indexes.ToString().c_str());
  }

  template <typename Response, typename Request>
  Response Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) {
    rpc::CallContext context(absl::Seconds(120));
    Response response;
    const grpc::Status status = (stub_.get()->*method)(context.get(), request, &response);
    if (!status.ok()) {
      std::fprintf(stderr, "%s: %s\n", request.ShortDebugString().c_str(), status.error_message().c_str());
      std::abort();
    }
    return response;
  }

  v1::CountComponentsResponse Count(const std::string& filter,
                                    const std::vector<std::string>& group_by = {}) {
    v1::CountComponentsRequest request;
    request.set_filter(filter);
    for (const std::string& field : group_by) request.add_group_by(field);
    return Call(&Stub::CountComponents, request);
  }
  v1::ExplainFilterResponse Explain(const std::string& filter) {
    v1::ExplainFilterRequest request;
    request.set_filter(filter);
    return Call(&Stub::ExplainFilter, request);
  }
  int64_t List(const std::string& filter, const std::string& order_by = "") {
    v1::ListComponentsRequest request;
    request.set_filter(filter);
    request.set_order_by(order_by);
    return Call(&Stub::ListComponents, request).components_size();
  }
  int64_t Stream(const std::string& filter) {
    rpc::CallContext context(absl::Seconds(600));
    v1::StreamComponentsRequest request;
    request.set_filter(filter);
    const auto reader = stub_->StreamComponents(context.get(), request);
    v1::StreamComponentsResponse response;
    int64_t rows = 0;
    while (reader->Read(&response)) rows += response.components_size();
    if (const grpc::Status status = reader->Finish(); !status.ok()) {
      std::fprintf(stderr, "%s: %s\n", filter.c_str(), status.error_message().c_str());
      std::abort();
    }
    return rows;
  }

  // Whether each filter that an operator is likely to write counts what was generated, and none for few reads
  // everything.
  bool Check() {
    bool right = true;
    Table table({"FILTER", "COMPONENTS", "ESTIMATE", "INDEXES"});
    for (const Likely& likely : likely_) {
      const int64_t counted = Count(likely.filter).total();
      const v1::ExplainFilterResponse plan = Explain(likely.filter);
      const bool scans = plan.full_scan() && !likely.many;
      table.Add({likely.filter.size() > 80 ? likely.filter.substr(0, 77) + "..." : likely.filter,
                 absl::StrCat(counted), absl::StrCat(plan.estimated_count()),
                 plan.full_scan() ? "(reads all)" : absl::StrJoin(plan.indexes(), ", ")});
      if (counted != likely.expected || scans) {
        std::fprintf(stderr, "WRONG: %s: counted %s of %s%s\n%s", likely.filter.c_str(),
                     absl::StrCat(counted).c_str(), absl::StrCat(likely.expected).c_str(),
                     scans ? ", and reads all" : "", plan.plan().c_str());
        right = false;
      }
    }
    // What a rollout reads is what is counted.
    for (const char* filter : {"model = M0003 AND version < 2.8.0", "failures > 0", "last_report < -24h"}) {
      const int64_t streamed = Stream(filter), counted = Count(filter).total();
      if (streamed == counted) continue;
      std::fprintf(stderr, "WRONG: %s: streamed %s of %s\n", filter, absl::StrCat(streamed).c_str(),
                   absl::StrCat(counted).c_str());
      right = false;
    }
    std::printf("%s\n", table.ToString().c_str());
    return right;
  }

  // What reports cost PostgreSQL with these indexes and counts, and without: rows that are rewritten, how
  // many of them within their page and without touching an index (HOT).
  void PrintUpdates() {
    Table table({"UPDATE", "ROWS", "HOT", "EACH"});
    pqxx::connection connection(database_);
    const auto update = [&](const std::string& what, int part, const std::string& set) {
      pqxx::nontransaction transaction(connection);
      const auto counted = [&] {
        transaction.exec("SELECT pg_stat_force_next_flush()");
        const pqxx::row row = transaction.exec1(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'components'");
        return std::pair(row[0].as<int64_t>(), row[1].as<int64_t>());
      };
      const auto before = counted();
      const auto start = std::chrono::steady_clock::now();
      // A tenth of the fleet, in batches as manifests come: of neighbours no two come together.
      constexpr int64_t kBatch = 200;
      const int64_t tenth = options_.gateways / 10;
      const int64_t batches = tenth / kBatch;
      for (int64_t batch = 0; batch < batches; ++batch) {
        std::vector<std::string> ids;
        for (int64_t i = 0; i < kBatch; ++i) {
          const int64_t index = part * tenth + i * batches + batch;
          ids.push_back(absl::StrCat("'", FleetData::GatewayId(index, index % 5 == 0), "'"));
        }
        transaction.exec(absl::StrCat("UPDATE components SET ", set, " WHERE gateway_id IN (",
                                      absl::StrJoin(ids, ","), ")"));
      }
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const auto after = counted();
      const double rows = static_cast<double>(after.first - before.first);
      table.Add({what, absl::StrFormat("%.0f", rows),
                 absl::StrFormat("%.1f %%", 100 * static_cast<double>(after.second - before.second) / rows),
                 absl::StrFormat("%.1f us", seconds / rows * 1e6)});
    };
    const auto all = [&](int part, const std::string& where) {
      const std::string report =
          "report_counter = report_counter + 1, reported_at = now(), refused_reports = refused_reports + 0";
      update("first report in six hours" + where, part, report);
      update("a report that says what the last one said" + where, part, report);
      update("another version" + where, part,
             "image_version = image_version || '.1', image_sha256 = md5(image_sha256)");
    };
    all(1, ", as it is");
    {
      pqxx::nontransaction transaction(connection);
      for (const pqxx::row& row : transaction.exec(
               "SELECT indexname FROM pg_indexes WHERE tablename = 'components' AND indexname NOT IN "
               "('components_pkey', 'components_by_model')")) {
        transaction.exec(absl::StrCat("DROP INDEX ", row[0].as<std::string>()));
      }
      transaction.exec("DROP TRIGGER component_counted ON components");
    }
    all(2, ", without what answers filters");
    std::printf("%s", table.ToString().c_str());
  }

  FleetGateway SomeGateway() {
    return fleet_.Gateway(static_cast<int64_t>(random_() % static_cast<uint64_t>(options_.gateways)));
  }
  FleetDevice SomeDevice() { return SomeGateway().devices[0]; }

  // `ask` asks about another thing each time and tells how many rows it got; `example` is one of its filters.
  void Time(const std::string& what, const std::string& example, const std::function<int64_t()>& ask,
            int rounds, const std::string& plan_is = "") {
    std::vector<double> seconds, rows;
    for (int i = 0; i < rounds; ++i) {
      const auto start = std::chrono::steady_clock::now();
      rows.push_back(static_cast<double>(ask()));
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(seconds.begin(), seconds.end());
    const v1::ExplainFilterResponse plan = Explain(example);
    table_.Add({what, Millis(Median(seconds)),
                Millis(seconds[std::min(seconds.size() - 1, seconds.size() * 95 / 100)]),
                absl::StrFormat("%.0f", Median(rows)),
                !plan_is.empty()   ? plan_is
                : plan.full_scan() ? "reads all"
                                   : absl::StrJoin(plan.indexes(), ", ")});
  }

  void Measure() {
    const int rounds = options_.rounds;
    const auto model = [this] {
      const FleetDevice device = SomeDevice();
      return absl::StrCat("manufacturer = ", device.manufacturer, " AND model = ", device.model);
    };
    Time(
        "a home: gateway", "gateway = home-0000001",
        [&] { return List(absl::StrCat("gateway = ", SomeGateway().id)); }, rounds);
    Time(
        "one component: serial", absl::StrCat("serial = ", SomeDevice().components[0].serial),
        [&] { return List(absl::StrCat("serial = ", SomeDevice().components[0].serial)); }, rounds);
    Time(
        "a bare word", SomeDevice().components[0].serial,
        [&] { return List(SomeDevice().components[0].serial); }, rounds);
    Time(
        "a model: first page", model(), [&] { return List(model()); }, rounds);
    Time(
        "outdated: model, version <: page", absl::StrCat(model(), " AND version < 1.9.0"),
        [&] { return List(absl::StrCat(model(), " AND version < 2.8.0")); }, rounds);
    Time(
        "in trouble: state, manufacturer: page", "state = COMPROMISED AND manufacturer = maker-01",
        [&] {
          return List(absl::StrCat("state = COMPROMISED AND manufacturer = ", SomeDevice().manufacturer));
        },
        rounds);
    Time(
        "silent: last_report < -24h: page", "last_report < -24h",
        [&] { return List("last_report < -24h AND NOT state = RETIRED"); }, rounds);
    Time(
        "failing most: failures > 0, ordered: page", "failures > 0",
        [&] { return List("failures > 0", "failure_count desc"); }, rounds);
    Time(
        "a ring of a model: tags: page", absl::StrCat("tags.ring = canary AND ", model()),
        [&] { return List(absl::StrCat("tags.ring = canary AND ", model())); }, rounds);
    Time(
        "who runs an image: digest: count", absl::StrCat("digest = ", SomeDevice().components[0].sha256),
        [&] { return Count(absl::StrCat("digest = \"", SomeDevice().components[0].sha256, "\"")).total(); },
        rounds);
    Time(
        "a model by version and state: count", model(),
        [&] {
          return Count(model(), {"version", "state"}).groups_size();
        },
        rounds, "component_counts");
    Time(
        "the whole fleet by state: count", "", [&] { return Count("", {"state"}).groups_size(); },
        std::max(3, rounds / 4), "component_counts");
    Time(
        "a rollout's selection: stream", absl::StrCat(model(), " AND version < 2.8.0"),
        [&] { return Stream(absl::StrCat(model(), " AND version < 2.8.0")); }, rounds);
    Time(
        "the greatest selection: stream", "state = VERIFIED AND kind = HOME AND tags.ring = early",
        [&] { return Stream("state = VERIFIED AND kind = HOME AND tags.ring = early"); }, 1);
  }

  const Options options_;
  const absl::Time now_;
  const FleetData fleet_;
  std::mt19937 random_;
  db::TestCluster cluster_;
  const std::string database_;
  rpc::testing::TestPki pki_;
  std::unique_ptr<metrics::Registry> metrics_;
  std::unique_ptr<inventory::App> app_;
  std::unique_ptr<Stub> stub_;
  std::vector<Likely> likely_;
  int64_t devices_ = 0, components_ = 0;
  Table table_{{"QUESTION", "P50", "P95", "ROWS", "PLAN"}};
};

}  // namespace
}  // namespace countersign::load

int main(int argc, char** argv) {
  countersign::load::Options options;
  CLI::App app("What a fleet costs the inventory to keep and to ask about", "tests/load/inventory");
  app.add_option("--gateways", options.gateways, "with five components each, on the average")
      ->check(CLI::Range(1000, 10'000'000));
  app.add_option("--rounds", options.rounds, "how often each question is asked")->check(CLI::Range(1, 1000));
  app.add_option("--shared-buffers-mib", options.shared_buffers_mib, "PostgreSQL's")
      ->check(CLI::Range(16, 65536));
  app.add_option("--seed", options.seed, "of the fleet");
  CLI11_PARSE(app, argc, argv);
  return countersign::load::Benchmark(options).Run();
}
