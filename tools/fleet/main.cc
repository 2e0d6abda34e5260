// fleet: very many simulated gateways in one process, for load.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "common/rpc/flags.h"
#include "common/rpc/memory_dialer.h"
#include "common/status/macros.h"
#include "nlohmann/json.hpp"
#include "tools/fleet/gateway.h"
#include "tools/fleet/identity.h"
#include "tools/fleet/plan.h"
#include "tools/fleet/provision.h"
#include "tools/fleet/scheduler.h"
#include "tools/fleet/shared.h"
#include "tools/fleet/statistics.h"

namespace countersign::fleet {
namespace {

constexpr char kDefaultProduct[] = "acme/LAMP-1/lamp-1/1.0.0";

struct Flags {
  PlanOptions plan;
  std::map<std::string, std::string> shares;  // by kind, as written
  std::vector<std::string> products;
  std::string shard = "0/1";
  std::string key_type = "ed25519";
  double download_seconds = 2, install_seconds = 3, reboot_seconds = 2;

  std::string pki;
  Addresses addresses;
  int at_once = 16;

  std::string director_root, image_root;
  std::string verified = "100%", downloaded = "0%";
  bool resume = false;
  int check_in_seconds = 300;
  int report_seconds = 24 * 3600;
  int threads = 32;
  int for_seconds = 0;
  std::string account, stats_file;
};

// "5%" or "0.05".
absl::StatusOr<double> ParseShare(absl::string_view text) {
  const absl::string_view digits = absl::StripSuffix(text, "%");
  double value = 0;
  if (!absl::SimpleAtod(digits, &value) || !(value >= 0) || value > (digits.size() < text.size() ? 100 : 1)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no share: write 5% or 0.05"));
  }
  return digits.size() < text.size() ? value / 100 : value;
}

absl::StatusOr<crypto::KeyType> ParseKeyType(absl::string_view text) {
  if (text == "ed25519") return crypto::KeyType::kEd25519;
  if (text == "ecdsa-p256") return crypto::KeyType::kEcdsaP256;
  return absl::InvalidArgumentError(absl::StrCat("--key-type is ed25519 or ecdsa-p256, not ", text));
}

// The gateways of this process.
absl::StatusOr<std::vector<GatewayPlan>> PlanOf(Flags& flags) {
  for (const Kind kind : kAllKinds) {
    const auto share = flags.shares.find(std::string(KindName(kind)));
    if (share == flags.shares.end() || share->second.empty()) continue;
    ASSIGN_OR_RETURN(flags.plan.shares[kind], ParseShare(share->second));
  }
  if (flags.products.empty()) flags.products = {kDefaultProduct};
  flags.plan.products.clear();
  for (const std::string& text : flags.products) {
    ASSIGN_OR_RETURN(Product product, ParseProduct(text));
    flags.plan.products.push_back(std::move(product));
  }
  flags.plan.download = absl::Seconds(flags.download_seconds);
  flags.plan.install = absl::Seconds(flags.install_seconds);
  flags.plan.reboot = absl::Seconds(flags.reboot_seconds);
  int shard = 0;
  int shards = 0;
  const size_t slash = flags.shard.find('/');
  if (slash == std::string::npos || !absl::SimpleAtoi(flags.shard.substr(0, slash), &shard) ||
      !absl::SimpleAtoi(flags.shard.substr(slash + 1), &shards) || shard < 0 || shard >= shards) {
    return absl::InvalidArgumentError("--shard is i/n, from 0/n to (n-1)/n");
  }
  ASSIGN_OR_RETURN(std::vector<GatewayPlan> all, MakePlan(flags.plan));
  std::vector<GatewayPlan> mine;
  for (GatewayPlan& gateway : all) {
    if (gateway.index % shards == shard) mine.push_back(std::move(gateway));
  }
  return mine;
}

absl::Status ShowPlan(Flags& flags) {
  ASSIGN_OR_RETURN(const std::vector<GatewayPlan> plan, PlanOf(flags));
  for (const GatewayPlan& gateway : plan) std::cout << gateway.ToString() << "\n";
  std::cout << "SHA-256 " << PlanDigest(plan) << "\n";
  return absl::OkStatus();
}

// Waits for SIGTERM or SIGINT, which all threads have blocked; false after a second without.
bool WaitForSignal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  const timespec second = {.tv_sec = 1, .tv_nsec = 0};
  return sigtimedwait(&signals, nullptr, &second) > 0;
}

absl::Status RunProvision(Flags& flags) {
  ASSIGN_OR_RETURN(const std::vector<GatewayPlan> plan, PlanOf(flags));
  ProvisionOptions options{.seed = flags.plan.seed, .at_once = flags.at_once};
  ASSIGN_OR_RETURN(options.key_type, ParseKeyType(flags.key_type));
  ASSIGN_OR_RETURN(const pki::Authority authority, pki::Authority::Load(flags.pki));
  ASSIGN_OR_RETURN(const rpc::MemoryTls tls,
                   IssueTls(authority, {rpc::Role::kOperator, "fleet"}, SystemClock().Now()));
  const auto inventory =
      rpc::DialFromMemory(tls, flags.addresses.inventory, {rpc::Role::kService, "inventory"});
  std::atomic<int> done = 0;
  std::atomic<bool> stop = false;
  std::atomic<bool> ended = false;
  absl::Status status;
  std::thread work([&] {
    status = Provision(plan, flags.plan.products, options, inventory, done, stop);
    ended = true;
  });
  while (!ended) {
    if (WaitForSignal()) stop = true;
    std::fprintf(stderr, "%d of %zu gateways provisioned\n", done.load(), plan.size());
  }
  work.join();
  return status;
}

std::string Line(const Statistics& statistics, absl::Duration since, const Scheduler& scheduler) {
  const auto [due, late] = scheduler.Backlog();
  return absl::StrFormat(
      "%6.0f s  gateways %d  streams %d  manifests %d  reports %d  begun %d  succeeded %d  failed %d  "
      "rolled back %d  retries %d  waiting %d for %.1f s  cpu %.1f s  memory %d MiB",
      absl::ToDoubleSeconds(since), statistics.Get("gateways_started"), statistics.Get("streams_open"),
      statistics.Get("manifests"), statistics.Get("reports_accepted"), statistics.Get("updates_begun"),
      statistics.Get("updates_succeeded"), statistics.Get("updates_failed"),
      statistics.Get("updates_rolled_back"), statistics.Get("turns_failed"), due, absl::ToDoubleSeconds(late),
      OwnCpuSeconds(), OwnResidentBytes() >> 20);
}

std::string Summary(const Statistics& statistics, const std::vector<GatewayPlan>& plan, const Flags& flags,
                    absl::Duration since) {
  nlohmann::json summary = nlohmann::json::parse(statistics.ToJson());
  std::map<std::string, int> kinds;
  for (const GatewayPlan& gateway : plan) ++kinds[std::string(KindName(gateway.kind))];
  summary["seed"] = flags.plan.seed;
  summary["plan_sha256"] = PlanDigest(plan);
  summary["gateways"] = plan.size();
  summary["kinds"] = kinds;
  summary["seconds"] = absl::ToDoubleSeconds(since);
  return summary.dump(2) + "\n";
}

absl::Status Run(Flags& flags) {
  ASSIGN_OR_RETURN(const std::vector<GatewayPlan> plan, PlanOf(flags));
  const absl::Time begin = SystemClock().Now();
  RunOptions options;
  options.seed = flags.plan.seed;
  options.addresses = flags.addresses;
  options.resume = flags.resume;
  // Above those of every run before, so that the inventory sees counters rise.
  options.first_counter = absl::ToUnixSeconds(begin);
  options.check_in_interval = absl::Seconds(flags.check_in_seconds);
  options.report_interval = absl::Seconds(flags.report_seconds);
  ASSIGN_OR_RETURN(options.key_type, ParseKeyType(flags.key_type));
  ASSIGN_OR_RETURN(options.verified, ParseShare(flags.verified));
  ASSIGN_OR_RETURN(options.downloaded, ParseShare(flags.downloaded));
  ASSIGN_OR_RETURN(options.director_root, ReadFile(flags.director_root));
  ASSIGN_OR_RETURN(options.image_root, ReadFile(flags.image_root));
  ASSIGN_OR_RETURN(const pki::Authority authority, pki::Authority::Load(flags.pki));
  std::fprintf(stderr, "plan %s: %zu gateways\n", PlanDigest(plan).c_str(), plan.size());

  Statistics statistics;
  SharedBytes image_metadata;
  Scheduler* scheduled = nullptr;
  // A gateway knows its number in the fleet; a turn is that of one in this process.
  std::vector<int> positions(flags.plan.gateways, -1);
  for (size_t i = 0; i < plan.size(); ++i) positions[plan[i].index] = static_cast<int>(i);
  const Shared shared{options,
                      flags.plan.products,
                      authority,
                      SystemClock(),
                      statistics,
                      image_metadata,
                      [&](int gateway, absl::Time time) { scheduled->Wake(positions[gateway], time); }};
  std::vector<std::unique_ptr<Gateway>> gateways;
  for (const GatewayPlan& gateway : plan) gateways.push_back(std::make_unique<Gateway>(gateway, shared));
  Scheduler scheduler(static_cast<int>(plan.size()), flags.threads, SystemClock(),
                      [&](int i) { return gateways[i]->Turn(); });
  scheduled = &scheduler;
  for (size_t i = 0; i < plan.size(); ++i) {
    if (plan[i].kind != Kind::kOffline) scheduler.Wake(static_cast<int>(i), begin + plan[i].start);
  }

  absl::Duration since = absl::ZeroDuration();
  for (bool stop = false; !stop;) {
    stop = WaitForSignal();
    since = SystemClock().Now() - begin;
    if (flags.for_seconds > 0 && since >= absl::Seconds(flags.for_seconds)) stop = true;
    std::fprintf(stderr, "%s\n", Line(statistics, since, scheduler).c_str());
    if (!flags.stats_file.empty()) {
      RETURN_IF_ERROR(WriteFileAtomically(flags.stats_file, Summary(statistics, plan, flags, since)));
    }
  }
  std::fprintf(stderr, "ending: turns that have begun are finished\n");
  scheduler.Stop();
  const std::string summary = Summary(statistics, plan, flags, since);
  for (const std::unique_ptr<Gateway>& gateway : gateways) gateway->Stop();
  std::cout << summary;
  if (!flags.stats_file.empty()) RETURN_IF_ERROR(WriteFileAtomically(flags.stats_file, summary));
  if (flags.account.empty()) return absl::OkStatus();
  std::string account;
  for (const std::unique_ptr<Gateway>& gateway : gateways) account += gateway->Account();
  return WriteFileAtomically(flags.account, account);
}

// A run's file as a table: also of one that runs.
absl::Status ShowStats(const Flags& flags) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.stats_file));
  const nlohmann::json stats = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!stats.is_object() || !stats.contains("counts") || !stats.contains("calls")) {
    return absl::InvalidArgumentError(
        absl::StrCat(flags.stats_file, " is not the file of a run's --stats-file"));
  }
  std::printf("%-40s %10s %10s %10s %10s  %s\n", "CALL", "COUNT", "P50 MS", "P95 MS", "P99 MS", "ERRORS");
  for (const auto& [name, call] : stats["calls"].items()) {
    std::printf("%-40s %10lld %10.2f %10.2f %10.2f  %s\n", name.c_str(), call.value("count", 0LL),
                call.value("p50_ms", 0.0), call.value("p95_ms", 0.0), call.value("p99_ms", 0.0),
                call["errors"].empty() ? "" : call["errors"].dump().c_str());
  }
  for (const auto& [name, count] : stats["counts"].items()) {
    std::printf("%-40s %10lld\n", name.c_str(), count.get<long long>());
  }
  std::printf("%-40s %10.1f\n%-40s %10lld\n", "cpu seconds", stats.value("cpu_seconds", 0.0), "resident MiB",
              stats.value("resident_bytes", 0LL) >> 20);
  return absl::OkStatus();
}

void AddPlanFlags(CLI::App& app, Flags& flags) {
  rpc::AddFlag(app, "--seed", flags.plan.seed, "what everything follows from");
  rpc::AddFlag(app, "--prefix", flags.plan.prefix, "of the gateways' ids");
  rpc::AddFlag(app, "--gateways", flags.plan.gateways, "gateways of the fleet");
  rpc::AddFlag(app, "--components", flags.plan.components, "components of each gateway");
  app.add_option("--product", flags.products,
                 "manufacturer/model/hardware-id/version[/constrained]; several take turns");
  rpc::AddFlag(app, "--shard", flags.shard, "i/n: every n-th gateway from the i-th on, for n processes");
  rpc::AddFlag(app, "--key-type", flags.key_type, "of gateways and components: ed25519 or ecdsa-p256");
  for (const Kind kind : kAllKinds) {
    if (kind == Kind::kGood) continue;
    const std::string name(KindName(kind));
    rpc::AddFlag(app, "--" + name, flags.shares[name], "share of " + name + " gateways, e.g. 5%");
  }
  app.add_option("--ramp", flags.plan.starts_per_second, "gateways that start in a second")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  const auto add_seconds = [&app](const char* flag, double& target, const char* help) {
    app.add_option(flag, target, help)->check(CLI::Range(0.0, 86400.0))->capture_default_str();
  };
  add_seconds("--download-seconds", flags.download_seconds, "mean time of a download");
  add_seconds("--install-seconds", flags.install_seconds, "mean time of an installation");
  add_seconds("--reboot-seconds", flags.reboot_seconds, "mean time of a reboot");
}

void AddPki(CLI::App& app, Flags& flags) {
  rpc::AddFlag(app, "--pki", flags.pki, "folder of the CA that `pki init` made")->required();
  rpc::AddFlag(app, "--inventory-address", flags.addresses.inventory, "host:port")->required();
}

int Main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  CLI::App app("Simulated gateways with real certificates, signatures and calls, all from one seed.",
               "fleet");
  app.require_subcommand(1);
  Flags flags;
  absl::Status status;

  CLI::App* plan = app.add_subcommand("plan", "Print who the gateways are and what they will do");
  AddPlanFlags(*plan, flags);
  plan->callback([&] { status = ShowPlan(flags); });

  CLI::App* provision =
      app.add_subcommand("provision", "Create the gateways and their devices in the inventory, as operator");
  AddPlanFlags(*provision, flags);
  AddPki(*provision, flags);
  provision->add_option("--at-once", flags.at_once, "calls under way")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  provision->callback([&] { status = RunProvision(flags); });

  CLI::App* run =
      app.add_subcommand("run", "Be the gateways, until SIGTERM; then print what came of it as JSON");
  AddPlanFlags(*run, flags);
  AddPki(*run, flags);
  rpc::AddFlag(*run, "--rollout-address", flags.addresses.rollout, "host:port")->required();
  rpc::AddFlag(*run, "--package-store-address", flags.addresses.package_store, "host:port")->required();
  rpc::AddFlag(*run, "--consent-address", flags.addresses.consent, "host:port")->required();
  rpc::AddFlag(*run, "--director-root", flags.director_root, "the Director's root metadata to start from")
      ->required();
  rpc::AddFlag(*run, "--image-root", flags.image_root, "the image repository's root metadata to start from")
      ->required();
  run->add_option("--verify", flags.verified, "share of the looks at metadata that verify them")
      ->capture_default_str();
  run->add_option("--download", flags.downloaded, "share of the updates whose images are really downloaded")
      ->capture_default_str();
  run->add_flag("--resume", flags.resume, "go on from what the inventory last heard of each component");
  const auto add_number = [run](const char* flag, int& target, int least, int most, const char* help) {
    run->add_option(flag, target, help)->check(CLI::Range(least, most))->capture_default_str();
  };
  add_number("--check-in-interval", flags.check_in_seconds, 1, 86400, "seconds, at the most");
  add_number("--report-interval", flags.report_seconds, 1, 7 * 86400, "seconds between reports without news");
  add_number("--threads", flags.threads, 1, 512, "turns, and so calls, under way at once");
  add_number("--for", flags.for_seconds, 0, 7 * 86400, "seconds to run; 0: until SIGTERM");
  run->add_option("--account", flags.account, "file for a line of JSON on each component at the end");
  run->add_option("--stats-file", flags.stats_file, "file that has the summary, written every second");
  run->callback([&] { status = Run(flags); });

  CLI::App* stats = app.add_subcommand("stats", "Print the --stats-file of a run as a table");
  stats->add_option("FILE", flags.stats_file, "the file")->required();
  stats->callback([&] { status = ShowStats(flags); });

  CLI11_PARSE(app, argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "fleet: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace countersign::fleet

int main(int argc, char** argv) { return countersign::fleet::Main(argc, argv); }
