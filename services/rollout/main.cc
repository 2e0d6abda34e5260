#include <CLI/CLI.hpp>

#include "common/rpc/server.h"
#include "services/rollout/app.h"
#include "services/rollout/config.h"

int main(int argc, char** argv) {
  CLI::App flags(
      "Update campaigns, and the Director repository that tells each gateway what to install now.");
  countersign::rollout::Config config;
  countersign::rollout::AddFlags(flags, config);
  CLI11_PARSE(flags, argc, argv);
  return countersign::rpc::ExitCode(countersign::rollout::App::RunUntilSignal(config));
}
