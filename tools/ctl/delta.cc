// delta: what an image differs in from another, as the package store makes it for gateways.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::package_store::v1;
using v1::PackageStoreService;
using Stub = PackageStoreService::Stub;

struct Flags {
  std::string base, sha256, path;
  int wait_seconds = 60;
};

v1::GetDeltaRequest Request(const Flags& flags) {
  v1::GetDeltaRequest request;
  request.set_base_sha256(flags.base);
  request.set_sha256(flags.sha256);
  return request;
}

// The delta once it is made, or will not be.
absl::StatusOr<v1::Delta> Await(Session& session, Stub& stub, const Flags& flags) {
  const absl::Time deadline = absl::Now() + absl::Seconds(flags.wait_seconds);
  while (true) {
    ASSIGN_OR_RETURN(v1::Delta delta, Call(session, stub, &Stub::GetDelta, Request(flags)));
    const absl::Duration left = deadline - absl::Now();
    if (delta.state() != v1::Delta::STATE_PENDING || left <= absl::ZeroDuration()) return delta;
    absl::SleepFor(std::min(left, absl::Seconds(std::max<int64_t>(1, delta.retry_delay().seconds()))));
  }
}

absl::Status Get(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  ASSIGN_OR_RETURN(const v1::Delta delta, Await(session, *stub, flags));
  if (delta.state() == v1::Delta::STATE_PENDING) {
    return Error(absl::StatusCode::kUnavailable, "DELTA_PENDING",
                 "the delta is still being made; try again, or wait longer with --for");
  }
  if (delta.state() != v1::Delta::STATE_READY) {
    return Error(absl::StatusCode::kFailedPrecondition, "DELTA_NOT_WORTHWHILE",
                 "a delta between these images would not pay; use `image download`");
  }
  v1::DownloadDeltaRequest request;
  request.set_base_sha256(flags.base);
  request.set_sha256(flags.sha256);
  rpc::CallContext context(absl::InfiniteFuture());
  auto reader = stub->DownloadDelta(context.get(), request);
  const std::string partial = absl::StrCat(flags.path, ".partial");
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  crypto::Sha256Stream digest;
  v1::DownloadDeltaResponse response;
  while (reader->Read(&response)) {
    digest.Update(response.data());
    out.write(response.data().data(), response.data().size());
  }
  RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
  out.close();
  if (!out) {
    return Error(absl::StatusCode::kResourceExhausted, "WRITE_FAILED",
                 absl::StrCat("cannot write ", partial, ": is the folder there, and room on the disk?"));
  }
  if (digest.FinishHex() != delta.delta_sha256()) {
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat("the bytes that came are not those of the delta; they are in ", partial));
  }
  if (std::rename(partial.c_str(), flags.path.c_str()) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, "WRITE_FAILED",
                 absl::StrCat("cannot rename ", partial, " to ", flags.path));
  }
  session.Print(delta);
  return absl::OkStatus();
}

}  // namespace

void AddDeltaCommands(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("delta", "Deltas: how one image is had from another");
  group.require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = session.AddVerb(
      group, "show", "Show whether there is one; has it made if nobody did", [&session, flags] {
        return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::GetDelta, Request(*flags));
      });
  const auto add_images = [&flags](CLI::App& to) {
    to.add_option("base-sha256", flags->base, "SHA-256 of the old image")->required();
    to.add_option("sha256", flags->sha256, "SHA-256 of the new image")->required();
  };
  add_images(*verb);
  verb = session.AddVerb(group, "get", "Download one; `zstd -d --patch-from=OLD FILE -o NEW` applies it",
                         [&session, flags] { return Get(session, *flags); });
  add_images(*verb);
  verb->add_option("file", flags->path, "where to")->required();
  verb->add_option("--for", flags->wait_seconds, "seconds to wait until it is made")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

}  // namespace countersign::ctl
