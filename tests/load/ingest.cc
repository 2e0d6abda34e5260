// What the inventory's ingest of signed reports costs next to its limits, taken in the same run: verifying
// the same signatures and nothing else, and writing as many rows in batches and nothing else. Run it with
// tests/load/run ingest.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/blocking_counter.h"
#include "common/clock/clock.h"
#include "common/crypto/derived_key.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/db/database.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/rpc/channel.h"
#include "common/rpc/memory_dialer.h"
#include "common/trust/report.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "tests/load/bare_grpc.h"
#include "tests/load/child.h"
#include "tests/load/measure.h"
#include "tests/load/report.h"
#include "tests/load/service.h"

namespace countersign::load {
namespace {

using crypto::KeyType;
using crypto::PemSigner;
using rpc::Identity;
using rpc::Role;
namespace v1 = ::countersign::inventory::v1;

constexpr char kService[] = "/countersign.inventory.v1.InventoryService/";
constexpr absl::Duration kCallTimeout = absl::Minutes(1);
constexpr int kComponentsPerDevice = 25;  // the API's limit is 32
constexpr int kBareBatch = 500;           // rows of a bare statement
constexpr int kBareConnections = 2;
const Identity kInventory{Role::kService, "inventory"};

struct Options {
  int rounds = 5;
  int reports = 2000;  // of a group of gateways in one cycle
  int cycles = 3;      // in a round: each gateway's challenge and manifest
  int at_once = 256;   // calls under way: a burst
  int echoes = 20'000;
};

// Calls `start(i, done)` for 0 to `count`, `at_once` of them under way at any time, until all are done.
void ForEach(size_t count, int at_once, const std::function<void(size_t, std::function<void()>)>& start) {
  if (count == 0) return;
  absl::BlockingCounter left(static_cast<int>(count));
  std::atomic<size_t> next = 0;
  std::function<void()> begin = [&] {
    const size_t mine = next++;
    if (mine >= count) return;
    start(mine, [&] {
      begin();
      left.DecrementCount();
    });
  };
  const size_t first = std::min<size_t>(count, static_cast<size_t>(at_once));
  for (size_t i = 0; i < first; ++i) begin();
  left.Wait();
}

// One simulated gateway on a connection of its own, with a certificate of its own.
class Home {
 public:
  Home(const std::string& id, int components, KeyType type) : id_(id), key_(Key(type, id)) {
    for (int i = 0; i < components; ++i) {
      serials_.push_back(absl::StrCat(id, "-", i));
      keys_.push_back(Key(type, serials_.back()));
    }
  }

  const std::string& id() const { return id_; }
  size_t components() const { return serials_.size(); }

  // As the operator.
  void Provision(v1::InventoryService::Stub& stub) const {
    v1::CreateGatewayRequest gateway;
    gateway.set_request_id(crypto::Uuid());
    gateway.mutable_gateway()->set_name(absl::StrCat("gateways/", id_));
    gateway.mutable_gateway()->set_kind(v1::Gateway::KIND_HOME);
    gateway.mutable_gateway()->set_public_key_pem(key_.public_key().Pem());
    v1::Gateway made;
    rpc::CallContext context(kCallTimeout);
    Require(rpc::FromGrpc(stub.CreateGateway(context.get(), gateway, &made)));
    for (size_t first = 0; first < serials_.size(); first += kComponentsPerDevice) {
      v1::CreateDeviceRequest device;
      device.set_request_id(crypto::Uuid());
      device.mutable_device()->set_name(absl::StrCat("gateways/", id_, "/devices/d", first));
      device.mutable_device()->set_manufacturer("acme");
      device.mutable_device()->set_model("LAMP-1");
      device.mutable_device()->set_hardware_version("1");
      for (size_t i = first; i < std::min(serials_.size(), first + kComponentsPerDevice); ++i) {
        v1::Component& component = *device.mutable_device()->add_components();
        component.set_ecu_serial(serials_[i]);
        component.set_hardware_id("lamp-1");
        component.set_public_key_pem(keys_[i].public_key().Pem());
      }
      v1::Device created;
      rpc::CallContext device_context(kCallTimeout);
      Require(rpc::FromGrpc(stub.CreateDevice(device_context.get(), device, &created)));
    }
  }

  void Connect(std::shared_ptr<grpc::Channel> channel) {
    channel_ = std::move(channel);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
  }
  grpc::GenericStub& stub() { return *stub_; }

  // The manifest that answers `nonce`: everything runs what it ran, as in most reports.
  std::string Manifest(const std::string& nonce, absl::Time now) {
    ++counter_;
    trust::GatewayManifest manifest;
    manifest.gateway_id = id_;
    manifest.nonce = nonce;
    manifest.manifest_counter = counter_;
    manifest.time = now;
    signed_.clear();
    for (size_t i = 0; i < serials_.size(); ++i) {
      trust::VersionReport report;
      report.ecu_serial = serials_[i];
      report.hardware_id = "lamp-1";
      report.manufacturer = "acme";
      report.model = "LAMP-1";
      report.length = 4096;
      report.sha256 = crypto::Sha256Hex("firmware");
      report.version = "1.0.0";
      report.report_counter = counter_;
      report.nonce = nonce;
      trust::Envelope envelope = report.ToEnvelope();
      Require(envelope.Sign(keys_[i]));
      signed_.push_back({&keys_[i].public_key(), envelope.canonical(), envelope.signatures()[0].bytes});
      manifest.reports.push_back(std::move(envelope));
    }
    trust::Envelope envelope = manifest.ToEnvelope();
    Require(envelope.Sign(key_));
    signed_.push_back({&key_.public_key(), envelope.canonical(), envelope.signatures()[0].bytes});
    return envelope.Serialise();
  }

  // Verifies every signature of the last manifest, and does nothing else.
  void VerifyAlone() const {
    for (const Signed& one : signed_) Require(one.key->Verify(one.message, one.signature));
  }

  int64_t counter() const { return counter_; }

 private:
  struct Signed {
    const crypto::PublicKey* key;
    std::string message;
    std::string signature;
  };
  static PemSigner Key(KeyType type, const std::string& owner) {
    return Require(crypto::DeriveSigner(type, owner));
  }

  const std::string id_;
  const PemSigner key_;
  std::vector<std::string> serials_;
  std::vector<PemSigner> keys_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  int64_t counter_ = 0;
  std::vector<Signed> signed_;
};

// Gateways that are alike.
struct Group {
  std::string name;
  int components;
  std::vector<std::unique_ptr<Home>> homes;
};

Sample operator+(const Sample& a, const Sample& b) {
  return {.seconds = a.seconds + b.seconds,
          .client_cpu = a.client_cpu + b.client_cpu,
          .server_cpu = a.server_cpu + b.server_cpu,
          .database_cpu = a.database_cpu + b.database_cpu};
}

// One call; the bytes of its answer.
class RawCall {
 public:
  RawCall(grpc::GenericStub& stub, const std::string& method, grpc::ByteBuffer request,
          std::function<void(const grpc::ByteBuffer&)> done)
      : request_(std::move(request)), done_(std::move(done)) {
    context_.set_deadline(absl::ToChronoTime(SystemClock().Now() + kCallTimeout));
    stub.UnaryCall(&context_, method, {}, &request_, &response_, [this](const grpc::Status& status) {
      Require(rpc::FromGrpc(status));
      done_(response_);
      delete this;
    });
  }

 private:
  grpc::ClientContext context_;
  const grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  const std::function<void(const grpc::ByteBuffer&)> done_;
};

template <typename Message>
Message Parse(const grpc::ByteBuffer& bytes) {
  grpc::Slice slice;
  Message message;
  if (!bytes.DumpToSingleSlice(&slice).ok() ||
      !message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    Require(absl::InternalError("an answer cannot be read"));
  }
  return message;
}

// The rows that the manifests touch, in a table of their own that has nothing else, written as fast as it
// goes: batches of keys in order, arrays in binary, one statement and one commit each.
class BareTable {
 public:
  BareTable(const std::string& conninfo, const std::vector<std::pair<std::string, std::string>>& keys)
      : database_({.conninfo = conninfo, .max_connections = kBareConnections}), keys_(keys) {
    std::sort(keys_.begin(), keys_.end());
    Require(database_.RunInTransaction("MakeBareTable", [](db::Transaction& tx) {
      tx.exec(R"sql(
        CREATE TABLE bare (
          gateway_id text COLLATE "C" NOT NULL, ecu_serial text COLLATE "C" NOT NULL,
          report_counter bigint NOT NULL, reported_at timestamptz NOT NULL, refused_reports bigint NOT NULL,
          other text NOT NULL,
          PRIMARY KEY (gateway_id, ecu_serial)) WITH (fillfactor = 70))sql");
      return absl::OkStatus();
    }));
    Write(0);
  }

  void Write(int64_t counter) {
    std::vector<std::thread> threads;
    std::atomic<size_t> next = 0;
    for (int i = 0; i < kBareConnections; ++i) {
      threads.emplace_back([&] {
        while (true) {
          const size_t first = next.fetch_add(kBareBatch);
          if (first >= keys_.size()) return;
          WriteBatch(first, std::min(keys_.size(), first + kBareBatch), counter);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  void WriteBatch(size_t first, size_t last, int64_t counter) {
    // As wide as a row of the inventory.
    static const std::string& other = *new std::string(400, 'x');
    static const std::string& sql = *new std::string(R"sql(
      INSERT INTO bare SELECT g, s, c, t, r, $6 FROM
        unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[]) AS n (g, s, c, t, r)
      ON CONFLICT (gateway_id, ecu_serial) DO UPDATE SET
        report_counter = EXCLUDED.report_counter, reported_at = EXCLUDED.reported_at,
        refused_reports = EXCLUDED.refused_reports)sql");
    std::vector<std::string> gateways, serials;
    for (size_t i = first; i < last; ++i) {
      gateways.push_back(keys_[i].first);
      serials.push_back(keys_[i].second);
    }
    const std::vector<int64_t> counters(last - first, counter);
    const std::vector<int64_t> refused(last - first, 0);
    const std::vector<absl::Time> times(last - first, SystemClock().Now());
    Require(database_.RunInTransaction("WriteBare", [&](db::Transaction& tx) {
      db::ExecPrepared(tx, "write_bare", sql, db::TextArray(gateways), db::TextArray(serials),
                       db::BigintArray(counters), db::TimestampArray(times), db::BigintArray(refused), other);
      return absl::OkStatus();
    }));
  }

  db::Database database_;
  std::vector<std::pair<std::string, std::string>> keys_;
};

class Benchmark {
 public:
  explicit Benchmark(const Options& options)
      : options_(options),
        conninfo_(db::TestCluster::Shared().CreateDatabase()),
        postmaster_(Postmaster(conninfo_)),
        database_({.conninfo = conninfo_, .max_connections = 1}) {
    Configure();
    first_ = Start();
    for (const auto& [type, name] :
         {std::pair(KeyType::kEd25519, "Ed25519"), std::pair(KeyType::kEcdsaP256, "P-256")}) {
      for (const int components : {5, 50}) AddGroup(name, type, components);
    }
    Provision();
    std::fprintf(stderr, "provisioned\n");
  }

  std::string Run() {
    for (Group& group : groups_) MeasureGroup(group);
    MeasureChallenge();
    MeasureReplicas();
    CheckThatNothingWasLost();
    return report_.ToString();
  }

 private:
  // What comes and goes by itself would be counted in one round and not in the next.
  void Configure() {
    Require(database_.Read("Configure", [](db::Reader& reader) {
      reader.exec("ALTER SYSTEM SET autovacuum = off");
      reader.exec("SELECT pg_reload_conf()");
      return absl::OkStatus();
    }));
  }

  std::unique_ptr<Service> Start() {
    return std::make_unique<Service>(
        &pki_, "inventory",
        std::vector<std::string>{"--database=" + conninfo_, "--appid-registry-address=127.0.0.1:1"});
  }

  void AddGroup(const std::string& name, KeyType type, int components) {
    Group& group =
        groups_.emplace_back(Group{absl::StrCat(components, " reports each, ", name), components, {}});
    for (int i = 0; i < std::max(1, options_.reports / components); ++i) {
      const std::string id = absl::StrFormat("gw-%d-%04d", groups_.size(), i);
      group.homes.push_back(std::make_unique<Home>(id, components, type));
    }
  }

  void Provision() {
    const auto channel =
        rpc::Dialer(pki_.TlsFor({Role::kOperator, "op"})).Dial(first_->address(), kInventory);
    const auto stub = v1::InventoryService::NewStub(channel);
    for (const Group& group : groups_) {
      for (const std::unique_ptr<Home>& home : group.homes) {
        home->Provision(*stub);
      }
    }
    Connect({first_.get()});
  }

  // Gateway by gateway to one replica after the other.
  void Connect(const std::vector<const Service*>& replicas) {
    size_t next = 0;
    for (const Group& group : groups_) {
      for (const std::unique_ptr<Home>& home : group.homes) {
        const auto leaf = Require(pki_.authority().Issue({Role::kGateway, home->id()}, pki::LoopbackNames(),
                                                         SystemClock().Now(), absl::Hours(24)));
        const rpc::MemoryTls tls = {.certificate_pem = leaf.certificate_pem,
                                    .key_pem = leaf.key_pem,
                                    .ca_pem = pki_.authority().certificate().certificate_pem,
                                    .trust_domain = pki_.trust_domain()};
        home->Connect(rpc::DialFromMemory(tls, replicas[next++ % replicas.size()]->address(), kInventory,
                                          {.max_attempts = 1}));
      }
    }
  }

  std::vector<std::string> Challenges(const Group& group) {
    std::vector<std::string> nonces(group.homes.size());
    ForEach(group.homes.size(), options_.at_once, [&](size_t i, std::function<void()> done) {
      new RawCall(group.homes[i]->stub(), absl::StrCat(kService, "CreateChallenge"), ToBuffer(""),
                  [&nonces, i, done = std::move(done)](const grpc::ByteBuffer& response) {
                    nonces[i] = Parse<v1::CreateChallengeResponse>(response).nonce();
                    done();
                  });
    });
    return nonces;
  }

  std::vector<grpc::ByteBuffer> Sign(const Group& group, const std::vector<std::string>& nonces) {
    std::vector<grpc::ByteBuffer> requests;
    for (size_t i = 0; i < group.homes.size(); ++i) {
      v1::SubmitManifestRequest request;
      request.set_manifest(group.homes[i]->Manifest(nonces[i], SystemClock().Now()));
      requests.push_back(ToBuffer(request.SerializeAsString()));
    }
    return requests;
  }

  void Submit(const Group& group, const std::vector<grpc::ByteBuffer>& requests) {
    std::vector<grpc::ByteBuffer> responses(requests.size());
    ForEach(requests.size(), options_.at_once, [&](size_t i, std::function<void()> done) {
      new RawCall(group.homes[i]->stub(), absl::StrCat(kService, "SubmitManifest"), requests[i],
                  [&responses, i, done = std::move(done)](const grpc::ByteBuffer& response) {
                    responses[i] = response;
                    done();
                  });
    });
    answers_.push_back({&group, std::move(responses)});
  }

  // Outside of what is measured: that every report was taken.
  void ReadAnswers() {
    for (const auto& [group, responses] : answers_) {
      for (const grpc::ByteBuffer& bytes : responses) {
        const auto response = Parse<v1::SubmitManifestResponse>(bytes);
        if (response.results_size() != group->components) Require(absl::InternalError("results are missing"));
        for (const v1::ComponentResult& result : response.results()) {
          if (!result.accepted()) {
            Require(
                absl::InternalError(absl::StrCat(result.ecu_serial(), " was refused: ", result.reason())));
          }
        }
      }
    }
    answers_.clear();
  }

  int64_t WalBytes() {
    return Require(database_.Read("WalBytes", [](db::Reader& reader) -> absl::StatusOr<int64_t> {
      return reader.exec("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")[0][0].as<int64_t>();
    }));
  }

  void MeasureGroup(Group& group) {
    const double reports =
        static_cast<double>(group.components) * static_cast<double>(group.homes.size()) * options_.cycles;
    std::vector<std::pair<std::string, std::string>> keys;
    for (const std::unique_ptr<Home>& home : group.homes) {
      for (size_t i = 0; i < home->components(); ++i)
        keys.push_back({home->id(), absl::StrCat(home->id(), "-", i)});
    }
    BareTable table(db::TestCluster::Shared().CreateDatabase(), keys);

    Series verify{reports, {}, {}};
    Series whole{reports, {}, {}};  // with the challenges
    Series rows{reports, {}, {}};
    std::vector<double> our_wal, bare_wal;
    for (int round = -1; round < options_.rounds; ++round) {
      Sample ours, challenges, alone, written;
      int64_t wal = 0, table_wal = 0;
      for (int cycle = 0; cycle < options_.cycles; ++cycle) {
        int64_t before = WalBytes();
        std::vector<std::string> nonces;
        challenges = challenges + Measure(first_->pid(), postmaster_, [&] { nonces = Challenges(group); });
        wal += WalBytes() - before;
        const std::vector<grpc::ByteBuffer> requests = Sign(group, nonces);
        before = WalBytes();
        ours = ours + Measure(first_->pid(), postmaster_, [&] { Submit(group, requests); });
        wal += WalBytes() - before;
        alone = alone + Measure(0, 0, [&] {
                  for (const std::unique_ptr<Home>& home : group.homes) home->VerifyAlone();
                });
        before = WalBytes();
        written =
            written + Measure(0, postmaster_, [&] { table.Write(round * options_.cycles + cycle + 100); });
        table_wal += WalBytes() - before;
      }
      ReadAnswers();
      if (round < 0) continue;  // connects, parses keys, and is the news
      alone.server_cpu = alone.client_cpu;
      written.server_cpu = written.database_cpu;
      verify.ours.push_back(ours);
      verify.bare.push_back(alone);
      whole.ours.push_back(ours + challenges);
      whole.bare.push_back(alone);
      Sample in_database = ours + challenges;
      in_database.server_cpu = in_database.database_cpu;
      rows.ours.push_back(in_database);
      rows.bare.push_back(written);
      our_wal.push_back(static_cast<double>(wal) / reports);
      bare_wal.push_back(static_cast<double>(table_wal) / reports);
    }
    const auto path = [&](const char* what) { return absl::StrCat(what, ", ", group.name); };
    report_.Rate(path("reports"), Calls(verify.OurRate()), "signatures alone, one core",
                 Calls(verify.BareRate()), verify.RateRatio(), std::nullopt);
    report_.Rate(path("reports with challenges"), Calls(whole.OurRate()), "batched upsert alone",
                 Calls(rows.BareRate()), rows.RateRatio(), std::nullopt);
    report_.Cost(path("service CPU"), Micros(verify.OurServerCpu()), "signatures alone",
                 Micros(verify.BareServerCpu()), verify.ServerCpuRatio(), 1.3);
    report_.Cost(path("service CPU with challenges"), Micros(whole.OurServerCpu()), "signatures alone",
                 Micros(whole.BareServerCpu()), whole.ServerCpuRatio(), std::nullopt);
    report_.Cost(path("database CPU with challenges"), Micros(rows.OurServerCpu()), "batched upsert alone",
                 Micros(rows.BareServerCpu()), rows.ServerCpuRatio(), 1.3);
    report_.Cost(path("WAL with challenges"), Bytes(Median(our_wal)), "batched upsert alone",
                 Bytes(Median(bare_wal)), Median(our_wal) / Median(bare_wal), std::nullopt);
    std::fprintf(stderr, "%s: done\n", group.name.c_str());
  }

  static std::string Bytes(double bytes) { return absl::StrFormat("%.0f B", bytes); }

  void MeasureChallenge() {
    const rpc::TlsOptions tls = pki_.TlsFor(kInventory);
    const Child echo({"--bare-grpc", tls.certificate_file, tls.key_file, tls.ca_file});
    const rpc::Dialer dialer(pki_.TlsFor({Role::kGateway, groups_[0].homes[0]->id()}));
    Channels bare, ours;
    for (int i = 0; i < 4; ++i) {
      bare.push_back(dialer.Dial(echo.address(), kInventory, {.max_attempts = 1}));
      ours.push_back(dialer.Dial(first_->address(), kInventory, {.max_attempts = 1}));
    }
    const std::string of_same_size(50, 'x');
    Series series{static_cast<double>(options_.echoes), {}, {}};
    for (int round = -1; round < options_.rounds; ++round) {
      const Sample of_bare = Measure(echo.pid(), 0, [&] {
        CallRepeatedly(bare, kBareEcho, of_same_size, options_.echoes, options_.at_once);
      });
      const Sample of_us = Measure(first_->pid(), postmaster_, [&] {
        CallRepeatedly(ours, absl::StrCat(kService, "CreateChallenge"), "", options_.echoes,
                       options_.at_once);
      });
      if (round < 0) continue;
      series.bare.push_back(of_bare);
      series.ours.push_back(of_us);
    }
    report_.Rate("CreateChallenge", Calls(series.OurRate()), "bare unary echo", Calls(series.BareRate()),
                 series.RateRatio(), std::nullopt);
    report_.Cost("CreateChallenge, service CPU", Micros(series.OurServerCpu()), "bare unary echo",
                 Micros(series.BareServerCpu()), series.ServerCpuRatio(), std::nullopt);
    report_.Cost("CreateChallenge, database CPU", Micros(series.OurDatabaseCpu()), "bare unary echo",
                 Micros(series.BareServerCpu()), series.OurDatabaseCpu() / series.BareServerCpu(),
                 std::nullopt);
    std::fprintf(stderr, "CreateChallenge: done\n");
  }

  // The same gateways at one replica and at two of one database.
  void MeasureReplicas() {
    const Group& group = groups_[0];
    const std::unique_ptr<Service> second = Start();
    Series series{
        static_cast<double>(group.components) * static_cast<double>(group.homes.size()) * options_.cycles,
        {},
        {}};
    for (int round = -1; round < options_.rounds; ++round) {
      const auto measure = [&](const std::vector<const Service*>& replicas) {
        Connect(replicas);
        Sample sum;
        for (int cycle = -1; cycle < options_.cycles; ++cycle) {
          const std::vector<grpc::ByteBuffer> requests = Sign(group, Challenges(group));
          const Sample both = Measure(first_->pid(), postmaster_, [&] { Submit(group, requests); });
          if (cycle >= 0) sum = sum + both;  // the first connects
        }
        ReadAnswers();
        return sum;
      };
      const Sample of_one = measure({first_.get()});
      const Sample of_two = measure({first_.get(), second.get()});
      if (round < 0) continue;
      series.bare.push_back(of_one);
      series.ours.push_back(of_two);
    }
    report_.Rate(absl::StrCat("reports at two replicas, ", group.name), Calls(series.OurRate()),
                 "at one replica", Calls(series.BareRate()), series.RateRatio(), std::nullopt);
    std::fprintf(stderr, "replicas: done\n");
  }

  // Every counter is that of the last report that was sent.
  void CheckThatNothingWasLost() {
    for (const Group& group : groups_) {
      for (const std::unique_ptr<Home>& home : group.homes) {
        const auto stored =
            Require(database_.Read("CheckCounters", [&](db::Reader& reader) -> absl::StatusOr<int64_t> {
              return reader
                  .exec_params(
                      "SELECT count(*) FROM components WHERE gateway_id = $1 AND report_counter = $2 AND "
                      "refused_reports = 0",
                      home->id(), home->counter())[0][0]
                  .as<int64_t>();
            }));
        if (stored != group.components)
          Require(absl::DataLossError(absl::StrCat(home->id(), " lacks reports")));
      }
    }
  }

  const Options options_;
  rpc::testing::TestPki pki_;
  const std::string conninfo_;
  const pid_t postmaster_;
  db::Database database_;
  std::unique_ptr<Service> first_;
  std::vector<Group> groups_;
  std::vector<std::pair<const Group*, std::vector<grpc::ByteBuffer>>> answers_;
  Report report_;
};

int Main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "";
  if (argc == 5 && kind == "--bare-grpc") {
    ServeBareGrpc({.certificate_file = argv[2], .key_file = argv[3], .ca_file = argv[4]});
    return 0;
  }
  CLI::App app("The inventory's ingest next to this machine's limits, taken in the same run.");
  Options options;
  bool quick = false;
  app.add_flag("--quick", quick, "Few gateways and one round: shows that it works, not how fast");
  app.add_option("--rounds", options.rounds, "Rounds of each measurement; 5 by default")
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (quick) options = {.rounds = 1, .reports = 100, .cycles = 2, .at_once = 8, .echoes = 500};
  // The service's quiet log lines are not what one runs this for.
  setenv("COUNTERSIGN_LOG_LEVEL", "error", 0);
  std::printf("%s", Benchmark(options).Run().c_str());
  return 0;
}

}  // namespace
}  // namespace countersign::load

int main(int argc, char** argv) { return countersign::load::Main(argc, argv); }
