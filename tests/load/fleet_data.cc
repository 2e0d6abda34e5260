#include "tests/load/fleet_data.h"

#include <postgresql/libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/base64.h"
#include "common/crypto/digest.h"

namespace countersign::load {
namespace {

// SplitMix64: the whole of what is asked of it is that it is quick and the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  int Below(int limit) { return static_cast<int>(Next() % static_cast<uint64_t>(limit)); }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  // Small numbers more often than great ones, the more the higher `power`.
  int Skewed(int limit, double power) { return static_cast<int>(std::pow(Unit(), power) * limit); }
  bool OneIn(int n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

FleetComponent Component(Random& random, int64_t number, int model, absl::Time now,
                         absl::Time last_manifest) {
  FleetComponent component;
  component.serial = absl::StrFormat("%s-%09d", FleetData::ManufacturerOf(model), number);
  component.hardware_id = absl::StrCat("hw-", model % 400, "-", 1 + random.Below(3));
  component.constrained = random.OneIn(20);
  component.state = component.constrained ? 3 : 2;
  const int luck = random.Below(1000);
  if (luck < 10) {  // no report yet
    component.state = 1;
    return component;
  }
  const int release = FleetData::Releases(model) - 1 - random.Skewed(FleetData::Releases(model), 3);
  component.version = FleetData::Version(model, release);
  component.sha256 = FleetData::Digest(model, component.version);
  component.path = absl::StrCat(FleetData::ManufacturerOf(model), "/", FleetData::ModelName(model), "/",
                                component.version, ".bin");
  component.verdict = 1;
  if (luck < 16) {
    component.state = 5;
    component.reason = luck < 12 ? "COUNTER_REPLAYED" : "SIGNATURE_INVALID";
    component.refused = 1 + random.Skewed(50, 4);
  } else if (luck < 21) {
    component.state = 4;
    component.reason = luck < 18 ? "IMAGE_DIFFERS" : "IMAGE_UNKNOWN";
    component.verdict = luck < 18 ? 4 : 3;
    component.sha256 = crypto::Sha256Hex(component.serial);
  } else if (luck < 23) {
    component.state = 6;
  } else if (luck < 26) {
    component.state = 7;
  }
  if (random.OneIn(100)) component.failures = 1 + random.Skewed(6, 4);
  if (random.OneIn(200)) component.refused += 1;
  // Most came with the gateway's last manifest; some have been silent since.
  component.report =
      random.OneIn(60) ? last_manifest - absl::Minutes(90 + random.Skewed(60 * 24 * 60, 3)) : last_manifest;
  // None turns a day old while the fleet is loaded and asked about.
  if (now - component.report > absl::Hours(20) && now - component.report < absl::Hours(25)) {
    component.report = now - absl::Hours(25);
  }
  component.first_report = now - absl::Hours(24) - absl::Minutes(random.Below(2 * 365 * 24 * 60));
  component.first_report = std::min(component.first_report, component.report);
  return component;
}

[[noreturn]] void Die(PGconn* connection, const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, PQerrorMessage(connection));
  std::abort();
}

struct CloseConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, CloseConnection>;

Connection Connect(const std::string& conninfo) {
  Connection connection(PQconnectdb(conninfo.c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK) Die(connection.get(), "cannot connect");
  return connection;
}

std::vector<std::string> Exec(PGconn* connection, const std::string& sql) {
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection, sql.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) Die(connection, sql.c_str());
  std::vector<std::string> rows;
  for (int i = 0; i < PQntuples(result.get()); ++i) rows.push_back(PQgetvalue(result.get(), i, 0));
  return rows;
}

// One COPY, in PostgreSQL's text format. Nothing that is generated needs an escape.
class Copy {
 public:
  Copy(const std::string& conninfo, const std::string& table_and_columns) : connection_(Connect(conninfo)) {
    // The rows belong together: references are not looked up one by one.
    Exec(connection_.get(), "SET session_replication_role = replica");
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(
        PQexec(connection_.get(), absl::StrCat("COPY ", table_and_columns, " FROM STDIN").c_str()), &PQclear);
    if (PQresultStatus(result.get()) != PGRES_COPY_IN) Die(connection_.get(), table_and_columns.c_str());
  }

  std::string& buffer() { return buffer_; }
  void FlushIfFull() {
    if (buffer_.size() > 1 << 20) Flush();
  }
  void End() {
    Flush();
    if (PQputCopyEnd(connection_.get(), nullptr) != 1) Die(connection_.get(), "COPY");
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(connection_.get()), &PQclear);
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) Die(connection_.get(), "COPY");
  }

 private:
  void Flush() {
    if (PQputCopyData(connection_.get(), buffer_.data(), static_cast<int>(buffer_.size())) != 1) {
      Die(connection_.get(), "COPY");
    }
    buffer_.clear();
  }

  Connection connection_;
  std::string buffer_;
};

std::string Time(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%E6S+00", time, absl::UTCTimeZone());
}

// As long as a PEM public key for Ed25519, which is all that it is here for; \\n is COPY's.
std::string Key(const std::string& of) {
  return absl::StrCat("-----BEGIN PUBLIC KEY-----\\n", "MCowBQYDK2VwAyEA",
                      crypto::Base64Encode(crypto::Sha256(of)), "\\n-----END PUBLIC KEY-----\\n");
}

std::string OrNull(const std::string& text) { return text.empty() ? "\\N" : text; }

class Loader {
 public:
  explicit Loader(const std::string& conninfo)
      : gateways_(
            conninfo,
            "gateways (gateway_id, kind, display_name, public_key_pem, proxy_public_key_pem, created_at, "
            "last_manifest_counter, last_manifest_at, tags)"),
        devices_(
            conninfo,
            "devices (gateway_id, device_id, manufacturer, model, hardware_version, app_id, app_id_status, "
            "created_at)"),
        serials_(conninfo, "serials (ecu_serial, gateway_id)"),
        components_(
            conninfo,
            "components (gateway_id, ecu_serial, device_id, hardware_id, public_key_pem, manufacturer, "
            "model, state, "
            "state_reason, image_path, image_length, image_sha256, image_version, image_release_counter, "
            "report_counter, reported_at, refused_reports, tags, image_verdict, first_reported_at, "
            "failure_count)") {}

  void Add(const FleetGateway& gateway) {
    const std::string tags =
        absl::StrCat("{\"site\": \"", gateway.site, "\", \"ring\": \"", gateway.ring, "\"}");
    absl::StrAppend(&gateways_.buffer(), gateway.id, "\t", gateway.vehicle ? 2 : 1, "\t\t", Key(gateway.id),
                    "\t\t", Time(gateway.created), "\t100\t", Time(gateway.last_manifest), "\t", tags, "\n");
    gateways_.FlushIfFull();
    for (const FleetDevice& device : gateway.devices) AddDevice(gateway, device, tags);
  }

  void End() {
    for (Copy* copy : {&gateways_, &devices_, &serials_, &components_}) copy->End();
  }

 private:
  void AddDevice(const FleetGateway& gateway, const FleetDevice& device, const std::string& tags) {
    absl::StrAppend(&devices_.buffer(), gateway.id, "\t", device.id, "\t", device.manufacturer, "\t",
                    device.model, "\t1\t", device.app_id, "\t", device.app_id_status, "\t",
                    Time(gateway.created), "\n");
    devices_.FlushIfFull();
    for (const FleetComponent& component : device.components) {
      absl::StrAppend(&serials_.buffer(), component.serial, "\t", gateway.id, "\n");
      serials_.FlushIfFull();
      const bool reported = !component.version.empty();
      std::string& row = components_.buffer();
      absl::StrAppend(&row, gateway.id, "\t", component.serial, "\t", device.id, "\t", component.hardware_id,
                      "\t", component.constrained ? "" : Key(component.serial), "\t", device.manufacturer,
                      "\t", device.model, "\t", component.state, "\t", component.reason, "\t",
                      OrNull(component.path), "\t");
      absl::StrAppend(&row, reported ? "1048576" : "\\N", "\t", OrNull(component.sha256), "\t",
                      OrNull(component.version), "\t", reported ? "1" : "\\N", "\t100\t",
                      reported ? Time(component.report) : "\\N", "\t", component.refused, "\t");
      absl::StrAppend(&row, tags, "\t", component.verdict, "\t",
                      reported ? Time(component.first_report) : "\\N", "\t", component.failures, "\n");
      components_.FlushIfFull();
    }
  }

  Copy gateways_, devices_, serials_, components_;
};

template <typename F>
double Seconds(F&& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::string FleetData::GatewayId(int64_t index, bool vehicle) {
  return absl::StrFormat("%s-%07d", vehicle ? "car" : "home", index);
}
std::string FleetData::ManufacturerOf(int model) {
  return absl::StrFormat("maker-%02d", model % kManufacturers);
}
std::string FleetData::ModelName(int model) { return absl::StrFormat("M%04d", model); }
int FleetData::Releases(int model) { return 3 + model % 6; }
std::string FleetData::Version(int model, int release) {
  return absl::StrCat(1 + release / 3, ".", 8 + release % 3 + model % 4, ".", model % 7);
}
std::string FleetData::Digest(int model, const std::string& version) {
  return crypto::Sha256Hex(absl::StrCat(model, "/", version));
}

FleetGateway FleetData::Gateway(int64_t index) const {
  Random random(seed_ * 0x2545f4914f6cdd1d + static_cast<uint64_t>(index));
  FleetGateway gateway;
  gateway.vehicle = index % 5 == 0;
  gateway.id = GatewayId(index, gateway.vehicle);
  gateway.site = absl::StrFormat("site-%03d", random.Skewed(200, 2));
  const int ring = random.Below(100);
  gateway.ring = ring == 0 ? "canary" : ring < 10 ? "early" : "broad";
  gateway.created = now_ - absl::Hours(24) - absl::Minutes(random.Below(2 * 365 * 24 * 60));
  // One in forty has been silent for longer than a day.
  gateway.last_manifest = now_ - absl::Minutes(random.OneIn(40) ? 25 * 60 + random.Skewed(90 * 24 * 60, 3)
                                                                : random.Below(6 * 60));
  int64_t number = index * 9;
  const int devices = gateway.vehicle ? 3 : 1 + random.Below(4);
  for (int d = 0; d < devices; ++d) {
    FleetDevice& device = gateway.devices.emplace_back();
    const int model = random.Skewed(kModels, 3);
    device.id = absl::StrCat("device-", d + 1);
    device.manufacturer = ManufacturerOf(model);
    device.model = ModelName(model);
    if (model % 10 == 0) {
      device.app_id = absl::StrCat("Ra01.com.", device.manufacturer, ".", device.model);
      device.app_id_status = random.OneIn(500) ? 2 : 1;
    }
    const int components = 1 + random.Below(3);
    for (int c = 0; c < components && number < index * 9 + 9; ++c) {
      device.components.push_back(Component(random, number++, model, now_, gateway.last_manifest));
    }
  }
  return gateway;
}

LoadTimes LoadFleet(const std::string& conninfo, const FleetData& fleet, int64_t gateways,
                    const std::function<void(const FleetGateway&)>& seen) {
  LoadTimes times;
  const Connection connection = Connect(conninfo);
  const std::string of_tables =
      "FROM pg_indexes WHERE schemaname = 'public' AND tablename IN ('gateways', 'devices', 'components') "
      "AND "
      "indexname NOT IN (SELECT conname FROM pg_constraint)";
  const std::vector<std::string> definitions =
      Exec(connection.get(), absl::StrCat("SELECT indexdef ", of_tables));
  for (const std::string& name : Exec(connection.get(), absl::StrCat("SELECT indexname ", of_tables))) {
    Exec(connection.get(), absl::StrCat("DROP INDEX ", name));
  }
  times.copy_seconds = Seconds([&] {
    Loader loader(conninfo);
    for (int64_t i = 0; i < gateways; ++i) {
      const FleetGateway gateway = fleet.Gateway(i);
      seen(gateway);
      loader.Add(gateway);
    }
    loader.End();
    Exec(connection.get(), "SELECT recount_components()");  // replicas fire no triggers
  });
  times.index_seconds = Seconds([&] {
    Exec(connection.get(), "SET maintenance_work_mem = '1GB'");
    for (const std::string& definition : definitions) Exec(connection.get(), definition);
  });
  times.analyze_seconds = Seconds([&] {
    for (const char* table : {"gateways", "devices", "serials", "components"}) {
      Exec(connection.get(), absl::StrCat("VACUUM ANALYZE ", table));
    }
  });
  return times;
}

}  // namespace countersign::load
