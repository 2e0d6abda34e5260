#include <CLI/CLI.hpp>

#include "common/rpc/server.h"
#include "services/appid_registry/app.h"
#include "services/appid_registry/config.h"

int main(int argc, char** argv) {
  CLI::App flags(
      "The App-ID registry: what is registered about an application, and signed answers about it.");
  countersign::appid_registry::Config config;
  countersign::appid_registry::AddFlags(flags, config);
  CLI11_PARSE(flags, argc, argv);
  return countersign::rpc::ExitCode(countersign::appid_registry::App::RunUntilSignal(config));
}
