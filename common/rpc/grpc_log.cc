#include "common/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include "common/log/log.h"

namespace countersign::rpc::internal {
namespace {

void Log(gpr_log_func_args* args) {
  // Most of gRPC's "errors" are peers that fail to shake hands: of note, and no fault of ours.
  if (args->severity == GPR_LOG_SEVERITY_ERROR) {
    log::Warn("grpc", {{"detail", args->message}, {"source", args->file}, {"line", args->line}});
  } else {
    log::Debug("grpc", {{"detail", args->message}, {"source", args->file}, {"line", args->line}});
  }
}

}  // namespace

void LogForGrpc() { gpr_set_log_function(&Log); }

}  // namespace countersign::rpc::internal
