#include <CLI/CLI.hpp>

#include "common/rpc/server.h"
#include "services/consent/app.h"
#include "services/consent/config.h"

int main(int argc, char** argv) {
  CLI::App flags("What users agreed to: policies, questions, answers, and the records that prove them.");
  countersign::consent::Config config;
  countersign::consent::AddFlags(flags, config);
  CLI11_PARSE(flags, argc, argv);
  return countersign::rpc::ExitCode(countersign::consent::App::RunUntilSignal(config));
}
