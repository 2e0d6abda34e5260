#include "common/rpc/server.h"
#include "common/status/macros.h"
#include "services/liaison/app.h"
#include "services/liaison/config.h"

namespace {

absl::Status Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(const countersign::liaison::Config config, countersign::liaison::ParseConfig(argc, argv));
  return countersign::liaison::App::RunUntilSignal(config);
}

}  // namespace

int main(int argc, char** argv) { return countersign::rpc::ExitCode(Run(argc, argv)); }
