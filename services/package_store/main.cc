#include "common/rpc/server.h"
#include "common/status/macros.h"
#include "services/package_store/app.h"
#include "services/package_store/config.h"

namespace {

absl::Status Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(const countersign::package_store::Config config,
                   countersign::package_store::ParseConfig(argc, argv));
  return countersign::package_store::App::RunUntilSignal(config);
}

}  // namespace

int main(int argc, char** argv) { return countersign::rpc::ExitCode(Run(argc, argv)); }
