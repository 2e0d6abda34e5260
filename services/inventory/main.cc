#include <CLI/CLI.hpp>

#include "common/rpc/server.h"
#include "services/inventory/app.h"
#include "services/inventory/config.h"

int main(int argc, char** argv) {
  CLI::App flags("Who runs what: gateways, devices, components, and what each has proved to run.");
  countersign::inventory::Config config;
  countersign::inventory::AddFlags(flags, config);
  CLI11_PARSE(flags, argc, argv);
  return countersign::rpc::ExitCode(countersign::inventory::App::RunUntilSignal(config));
}
