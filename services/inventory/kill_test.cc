// Two replicas as processes of their own, under load while one is killed: no acknowledged report is lost, and
// none is counted twice.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "services/inventory/testing/world.h"

namespace countersign::inventory {
namespace {

constexpr char kProgram[] = "services/inventory/inventory";
constexpr int kHomes = 8;
constexpr int kDevices = 5;
// Manifests that each home has acknowledged before the kill, and altogether.
constexpr int kBefore = 10;
constexpr int kAltogether = 30;

// The real program, which may be killed at any moment.
class Program {
 public:
  Program(World& world, const std::string& name) : world_(world), port_file_(name) {
    const rpc::TlsOptions tls = world.pki_.TlsFor({Role::kService, "inventory"});
    std::vector<std::string> arguments = {
        kProgram,
        "--listen=127.0.0.1:0",
        "--http-listen=127.0.0.1:0",
        "--port-file=" + port_file_,
        "--database=" + world.database_,
        absl::StrCat("--appid-registry-address=127.0.0.1:", world.registry_->grpc_port()),
        "--tls-cert=" + tls.certificate_file,
        "--tls-key=" + tls.key_file,
        "--tls-ca=" + tls.ca_file,
        "--trust-domain=" + tls.trust_domain};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    if (posix_spawn(&pid_, kProgram, nullptr, nullptr, argv.data(), environ) != 0) std::abort();
    absl::StatusOr<std::string> ports = ReadFile(port_file_);
    while (!ports.ok()) {
      if (waitpid(pid_, nullptr, WNOHANG) != 0) std::abort();
      absl::SleepFor(absl::Milliseconds(1));  // it needs the processor more than we do
      ports = ReadFile(port_file_);
    }
    const std::vector<std::string> fields = absl::StrSplit(*ports, ' ');
    address_ = absl::StrCat("127.0.0.1:", fields[0]);
  }
  ~Program() { Kill(); }

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  // A call that fails is not tried again.
  std::unique_ptr<Stub> As(const rpc::Identity& identity) {
    return v1::InventoryService::NewStub(
        rpc::Dialer(world_.pki_.TlsFor(identity))
            .Dial(address_, {Role::kService, "inventory"}, {.max_attempts = 1}));
  }

 private:
  World& world_;
  const std::string port_file_;
  std::string address_;
  pid_t pid_ = -1;
};

class KillTest : public WorldTest {};

// Every report tells of a new version, so that each that is accepted makes exactly one row of history.
TEST_F(KillTest, NoAcknowledgedReportIsLostAndNoneIsCountedTwice) {
  Program first(*world_, absl::StrCat(world_->pki_.folder(), "/ports-1"));
  Program second(*world_, absl::StrCat(world_->pki_.folder(), "/ports-2"));
  std::vector<Home> homes;
  std::vector<std::vector<std::string>> serials(kHomes);
  for (int i = 0; i < kHomes; ++i) {
    homes.push_back(NewHome());
    for (int j = 0; j < kDevices; ++j) serials[i].push_back(AddDevice(homes[i]));
  }

  absl::Mutex mutex;
  int warm = 0;                                    // homes that have kBefore acknowledged manifests
  std::map<std::string, std::set<int64_t>> acked;  // counters of reports, by serial
  std::map<std::string, int64_t> acked_manifest;   // the last counter, by gateway
  int in_doubt = 0;                                // manifests without an answer
  std::vector<std::thread> threads;
  for (int i = 0; i < kHomes; ++i) {
    threads.emplace_back([&, i] {
      Home& home = homes[i];
      std::unique_ptr<Stub> stubs[] = {first.As({Role::kGateway, home.id}),
                                       second.As({Role::kGateway, home.id})};
      int at = i % 2;
      for (int done = 0; done < kAltogether;) {
        const auto challenge = Call(*stubs[at], &Stub::CreateChallenge, v1::CreateChallengeRequest());
        if (!challenge.ok()) {
          at = 1 - at;
          continue;
        }
        std::vector<trust::Envelope> reports;
        for (const std::string& serial : serials[i]) {
          trust::VersionReport report = home.Report(serial, challenge->nonce());
          report.version = absl::StrCat("1.0.", report.report_counter);
          reports.push_back(home.Sign(report, home.components.at(serial)));
        }
        v1::SubmitManifestRequest request;
        request.set_manifest(home.SignManifest(home.Manifest(challenge->nonce(), std::move(reports))));
        const auto response = Call(*stubs[at], &Stub::SubmitManifest, request);
        absl::MutexLock lock(&mutex);
        if (!response.ok()) {
          ++in_doubt;
          at = 1 - at;
          continue;
        }
        ++done;
        if (done == kBefore) ++warm;
        acked_manifest[home.id] = home.manifest_counter;
        for (const v1::ComponentResult& result : response->results()) {
          EXPECT_TRUE(result.accepted()) << result.reason();
          acked[result.ecu_serial()].insert(home.report_counters[result.ecu_serial()]);
        }
      }
    });
  }
  {
    absl::MutexLock lock(&mutex);
    const auto all_warm = [&] { return warm == kHomes; };
    mutex.Await(absl::Condition(&all_warm));
  }
  first.Kill();
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(in_doubt, 0) << "the kill met nothing: the test shows nothing";

  int64_t rows = 0;
  int64_t acknowledged = 0;
  for (const auto& [serial, counters] : acked) {
    EXPECT_EQ(counters.size(), static_cast<size_t>(kAltogether));
    acknowledged += static_cast<int64_t>(counters.size());
    std::set<int64_t> stored;
    for (const pqxx::row& row : world_->Sql(
             absl::StrCat("SELECT report_counter, count(*) FROM component_history WHERE ecu_serial = '",
                          serial, "' GROUP BY report_counter"))) {
      EXPECT_EQ(row[1].as<int>(), 1) << serial << " report " << row[0].c_str() << " counts once";
      stored.insert(row[0].as<int64_t>());
      ++rows;
    }
    for (int64_t counter : counters) EXPECT_TRUE(stored.contains(counter)) << serial << " lost " << counter;
    EXPECT_GE(GetComponent(serial).report_counter(), *counters.rbegin());
  }
  EXPECT_LE(rows, acknowledged + int64_t{in_doubt} * kDevices);
  for (const Home& home : homes) {
    v1::GetGatewayRequest request;
    request.set_name("gateways/" + home.id);
    EXPECT_GE(Call(*operator_, &Stub::GetGateway, request)->last_manifest_counter(), acked_manifest[home.id]);
    // What watchers are told: each change once, and one event for each component as it was provisioned.
    const int64_t events =
        world_
            ->Sql(absl::StrCat("SELECT count(*) FROM outbox WHERE key LIKE 'gateways/", home.id, "/%'"))[0][0]
            .as<int64_t>();
    const int64_t changes =
        world_
            ->Sql(absl::StrCat("SELECT count(*) FROM component_history WHERE gateway_id = '", home.id,
                               "'"))[0][0]
            .as<int64_t>();
    EXPECT_EQ(events, changes + kDevices);
  }
}

}  // namespace
}  // namespace countersign::inventory
