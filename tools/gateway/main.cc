// countersign-gateway: the reference agent of a gateway, and its user's terminal.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/signer.h"
#include "common/delta/delta.h"
#include "common/file/file.h"
#include "common/rpc/flags.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "tools/ctl/session.h"
#include "tools/gateway/agent.h"
#include "tools/gateway/agent_commands.h"
#include "tools/gateway/desk.h"
#include "tools/gateway/incidents.h"
#include "tools/gateway/link.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/state.h"
#include "tools/gateway/updater.h"
#include "tools/gateway/user.h"
#include "tools/gateway/web/front.h"

namespace countersign::gateway {
namespace {

struct Flags {
  std::string id, dir, lan, director_root, image_root, key, proxy_key;
  int check_in_seconds = 300;
  int reboot_timeout_seconds = 300;
  UpdaterOptions updates;
  FrontOptions front;
  int delta_wait_seconds = absl::ToInt64Seconds(updates.downloads.delta_wait);
};

absl::Status Need(const std::string& flag, const std::string& value) {
  if (!value.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "FLAG_MISSING",
               absl::StrCat("give ", flag, " before the command, or set it in the file that --config names"));
}

// What `run` and `report` share.
struct Parts {
  Incidents incidents;
  std::unique_ptr<State> state;
  std::unique_ptr<crypto::Signer> key;
  std::unique_ptr<crypto::Signer> proxy_key;  // may be null
  std::unique_ptr<Reporter> reporter;
};

absl::Status MakeParts(const Flags& flags, Parts& parts) {
  for (const auto& [flag, value] : {std::pair("--id", flags.id), std::pair("--dir", flags.dir),
                                    std::pair("--lan", flags.lan), std::pair("--key", flags.key)}) {
    RETURN_IF_ERROR(Need(flag, value));
  }
  ASSIGN_OR_RETURN(parts.state, State::Open(flags.dir));
  ASSIGN_OR_RETURN(parts.key, crypto::OpenSigner(flags.key));
  if (!flags.proxy_key.empty()) {
    ASSIGN_OR_RETURN(parts.proxy_key, crypto::OpenSigner(flags.proxy_key));
  }
  return absl::OkStatus();
}

absl::Status AddReporter(ctl::Session& session, const Flags& flags, Parts& parts) {
  ASSIGN_OR_RETURN(const auto inventory, session.Dial("inventory"));
  const ReporterKeys keys = {.manifest = parts.key.get(), .proxy = parts.proxy_key.get()};
  parts.reporter = std::make_unique<Reporter>(flags.id, keys, inventory, &parts.incidents, parts.state.get());
  return absl::OkStatus();
}

absl::Status RunAgent(ctl::Session& session, const Flags& flags) {
  RETURN_IF_ERROR(Need("--director-root", flags.director_root));
  RETURN_IF_ERROR(Need("--image-root", flags.image_root));
  Parts parts;
  RETURN_IF_ERROR(MakeParts(flags, parts));
  RETURN_IF_ERROR(AddReporter(session, flags, parts));
  RETURN_IF_ERROR(parts.state->LockForAgent());
  Desk desk;
  UpdaterOptions options = flags.updates;
  options.gateway_id = flags.id;
  options.downloads.delta_wait = absl::Seconds(flags.delta_wait_seconds);
  options.reboot_timeout = absl::Seconds(flags.reboot_timeout_seconds);
  ASSIGN_OR_RETURN(options.director_root, ReadFile(flags.director_root));
  ASSIGN_OR_RETURN(options.image_root, ReadFile(flags.image_root));
  ASSIGN_OR_RETURN(const auto rollout, session.Dial("rollout"));
  ASSIGN_OR_RETURN(const auto package_store, session.Dial("package-store"));
  std::unique_ptr<Updater> updater;
  options.on_change = [&] { desk.Show(updater->confirmations(), updater->progress()); };
  updater = std::make_unique<Updater>(options, rollout, package_store, &parts.incidents, parts.state.get());
  std::unique_ptr<Front> front;
  if (!flags.front.listen.empty()) {
    ServiceChannels channels{.rollout = rollout};
    ASSIGN_OR_RETURN(channels.consent, session.Dial("consent"));
    ASSIGN_OR_RETURN(channels.inventory, session.Dial("inventory"));
    ASSIGN_OR_RETURN(channels.liaison, session.Dial("liaison"));
    ASSIGN_OR_RETURN(front, Front::Start(flags.front, flags.id, flags.dir, std::move(channels), &desk));
  }
  // Whoever is safe when the power goes needs no other way to stop.
  struct sigaction action = {};
  action.sa_handler = [](int) { _exit(0); };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  Agent({.lan = flags.lan, .dir = flags.dir, .check_in_interval = absl::Seconds(flags.check_in_seconds)},
        rollout, parts.reporter.get(), updater.get(), &parts.incidents, &desk)
      .Run();
  return absl::OkStatus();
}

absl::Status ReportOnce(ctl::Session& session, const Flags& flags) {
  Parts parts;
  RETURN_IF_ERROR(MakeParts(flags, parts));
  RETURN_IF_ERROR(AddReporter(session, flags, parts));
  ASSIGN_OR_RETURN(const std::vector<Socket> sockets, ListSockets(flags.lan));
  ASSIGN_OR_RETURN(const ReportOutcome outcome, parts.reporter->Report(sockets));
  std::vector<const google::protobuf::Message*> rows;
  for (const auto& result : outcome.response.results()) rows.push_back(&result);
  session.PrintTable(rows, {{"COMPONENT", "ecu_serial"},
                            {"ACCEPTED", "accepted"},
                            {"REASON", "reason"},
                            {"STATE", "state"},
                            {"DETAIL", "message"}});
  return absl::OkStatus();
}

}  // namespace
}  // namespace countersign::gateway

int main(int argc, char** argv) {
  using namespace countersign;
  using namespace countersign::gateway;
  CLI::App app(
      "The reference gateway: speaks for the devices of one home or vehicle, and installs their updates.",
      "countersign-gateway");
  ctl::Session session;
  session.AddFlags(app);
  Flags flags;
  rpc::AddFlag(app, "--id", flags.id, "id of the gateway, as in its certificate");
  rpc::AddFlag(app, "--dir", flags.dir, "folder of its state");
  rpc::AddFlag(app, "--lan", flags.lan, "folder of the devices' sockets, <device-id>.sock");
  rpc::AddFlag(app, "--director-root", flags.director_root,
               "the Director repository's root metadata to start from");
  rpc::AddFlag(app, "--image-root", flags.image_root, "the image repository's root metadata to start from");
  rpc::AddFlag(app, "--key", flags.key, "PEM file or PKCS#11 URI of the key that signs its manifests");
  rpc::AddFlag(app, "--proxy-key", flags.proxy_key,
               "PEM file or PKCS#11 URI of the key that signs for constrained components");
  CLI::App* run = session.AddVerb(app, "run", "Run the agent", [&] { return RunAgent(session, flags); });
  run->add_option("--check-in-interval", flags.check_in_seconds,
                  "seconds until it asks for updates by itself")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  run->add_option("--reboot-timeout", flags.reboot_timeout_seconds,
                  "seconds that a device may take to come back")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  run->add_option("--minimum-speed", flags.updates.downloads.minimum_bytes_per_second,
                  "bytes per second below which a download is broken off")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  run->add_option("--delta-max-bytes", flags.updates.downloads.delta_max_bytes,
                  "longer images come whole and are not kept as what deltas are made from; 0: all")
      ->check(CLI::Range(int64_t{0}, delta::kMaxImageBytes))
      ->capture_default_str();
  run->add_option("--delta-wait", flags.delta_wait_seconds,
                  "seconds that an update waits for its delta before the image comes whole")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  run->add_option("--image-cache", flags.updates.image_cache_bytes,
                  "bytes of the images that components run, which deltas are made from, that are kept")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  run->add_option("--quarantine-hook", flags.updates.quarantine_hook,
                  "program that cuts a device off the network that does not obey a quarantine: called with "
                  "cut|restore, device id, ecu serial");
  AddFrontFlags(*run, flags.front);
  session.AddVerb(app, "report", "Ask the devices once and report to the inventory",
                  [&] { return ReportOnce(session, flags); });
  AddUserCommands(app, session, {.gateway_id = flags.id, .folder = flags.dir});
  AddAgentCommands(app, session, flags.dir);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return ctl::Finish("countersign-gateway", session.status());
}
