// What the package store costs, next to the limits of this machine taken in the same run: rounds of ours and
// bare, one after the other, and the medians of their ratios. Run it with tests/load/run.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/clock/clock.h"
#include "common/db/testing/test_cluster.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "grpcpp/grpcpp.h"
#include "services/package_store/testing/calls.h"
#include "services/package_store/testing/program.h"
#include "services/package_store/testing/publisher.h"
#include "tests/load/bare_grpc.h"
#include "tests/load/bare_tls.h"
#include "tests/load/child.h"
#include "tests/load/image.h"
#include "tests/load/measure.h"
#include "tests/load/report.h"

namespace countersign::load {
namespace {

using package_store::testing::Program;
using package_store::testing::Publisher;
using package_store::testing::StorePlace;
using rpc::Identity;
using rpc::Role;
namespace calls = package_store::testing;
namespace v1 = ::countersign::package_store::v1;

constexpr char kService[] = "/countersign.package_store.v1.PackageStoreService/";
constexpr int kConnections = 4;
constexpr int kCallsAtOnce = 32;
constexpr int kTargets = 20;
constexpr int64_t kMiB = 1 << 20;
constexpr double kGiB = 1 << 30;
const Identity kStore{Role::kService, "package-store"};
const Identity kAcme{Role::kManufacturer, "acme"};

struct Options {
  int rounds = 7;
  int64_t image_mib = 256;
  int64_t large_mib = 4096;
  int calls = 40'000;
};

std::string PerGiB(double seconds_per_byte) { return absl::StrFormat("%.3f s/GiB", seconds_per_byte * kGiB); }

class Benchmark {
 public:
  explicit Benchmark(const Options& options)
      : options_(options),
        publisher_(SystemClock().Now()),
        place_(publisher_),
        postmaster_(Postmaster(place_.database)),
        store_(&pki_, place_, {absl::StrCat("--quota-bytes=", int64_t{1} << 40)}) {
    store_.Start();
    const auto stub = store_.As({Role::kOperator, "op"});
    Require(calls::PublishRoot(*stub, publisher_.Root()));
    Require(calls::PublishTargets(*stub, publisher_.TopTargets(1, {"acme"})));
  }

  std::string Run() {
    MeasureIdle();
    const Image image(options_.image_mib * kMiB);
    MeasureUpload(image);
    Publish({&image});
    MeasureDownload(image);
    MeasureMetadata("timestamp.json");
    MeasureMetadata("1.acme.json");
    MeasureMemory();
    return report_.ToString();
  }

 private:
  Channels ChannelsTo(const std::string& address, const Identity& identity, int count) {
    Channels channels;
    const rpc::Dialer dialer(pki_.TlsFor(identity));
    for (int i = 0; i < count; ++i) channels.push_back(dialer.Dial(address, kStore, {.max_attempts = 1}));
    return channels;
  }
  std::vector<std::string> BareArguments(const char* kind) {
    const rpc::TlsOptions tls = pki_.TlsFor(kStore);
    return {kind, tls.certificate_file, tls.key_file, tls.ca_file};
  }

  // All of it over the wire, until the store has answered that the image is complete.
  Sample Upload(const Image& image) {
    const auto stub = store_.As(kAcme);
    v1::CreateUploadRequest create;
    create.set_parent("manufacturers/acme");
    create.mutable_upload()->set_length_bytes(image.length());
    create.mutable_upload()->set_sha256(image.sha256());
    v1::Upload upload;
    rpc::CallContext context(absl::Seconds(30));
    Require(rpc::FromGrpc(stub->CreateUpload(context.get(), create, &upload)));
    const std::vector<grpc::ByteBuffer> messages = image.UploadMessages(upload.name());
    const Channels channels = ChannelsTo(store_.address(), kAcme, 1);
    return Measure(store_.pid(), postmaster_,
                   [&] { load::Upload(channels[0], absl::StrCat(kService, "WriteUpload"), messages); });
  }

  // Proposes and approves a role of the images and as many small ones as make its file a usual one.
  void Publish(const std::vector<const Image*>& images) {
    std::vector<calls::ImageSpec> small;
    const auto acme = store_.As(kAcme);
    for (int i = 0; i < kTargets; ++i) {
      small.push_back(
          {.path = absl::StrCat("acme/lamp/lamp-", i, ".bin"), .content = absl::StrCat("firmware ", i)});
      Require(calls::Upload(*acme, "acme", small.back().content));
    }
    trust::Targets role = publisher_.Role(++role_version_, small);
    for (const Image* image : images) {
      trust::TargetFile& target = role.targets[absl::StrCat("acme/tv/", image->sha256().substr(0, 16))];
      target.length = image->length();
      target.sha256 = image->sha256();
      target.custom.version = "1.0.0";
      target.custom.hardware_ids = {"hw-1"};
      target.custom.release_counter = 1;
    }
    const v1::Proposal proposal = Require(calls::Propose(*acme, "acme", publisher_.Sign("acme", role)));
    Require(calls::Approve(*store_.As({Role::kAuthority, "ma"}), publisher_.Approve(proposal)));
  }

  static std::string DownloadRequest(const Image& image) {
    v1::DownloadImageRequest request;
    request.set_sha256(image.sha256());
    return request.SerializeAsString();
  }

  void MeasureIdle() {
    Program idle(&pki_, place_);
    idle.Start();
    const int64_t resident = ResidentBytes(idle.pid());
    constexpr int64_t kGoal = 40 * kMiB;
    report_.Cost("idle replica, resident", MiB(resident), "goal of 40 MiB", MiB(kGoal),
                 static_cast<double>(resident) / kGoal, 1);
    std::fprintf(stderr, "idle: done\n");
  }

  void MeasureUpload(const Image& last) {
    const Child grpc(BareArguments("--bare-grpc"));
    const Channels bare = ChannelsTo(grpc.address(), kAcme, 1);
    Series hash{static_cast<double>(last.length()), {}, {}};
    Series disk = hash;
    Series wire = hash;
    Series slower = hash;
    for (int round = 0; round < options_.rounds; ++round) {
      const Image fresh(last.length());
      const Image& image = round + 1 == options_.rounds ? last : fresh;
      hash.bare.push_back(Measure(0, 0, [&] { image.Hash(); }));
      disk.bare.push_back(Measure(0, 0, [&] { image.WriteToDisk(place_.folder); }));
      const std::vector<grpc::ByteBuffer> messages = image.UploadMessages("bare");
      wire.bare.push_back(Measure(grpc.pid(), 0, [&] { load::Upload(bare[0], kBareUpload, messages); }));
      const bool hash_is_slower = hash.bare.back().seconds > disk.bare.back().seconds;
      slower.bare.push_back(hash_is_slower ? hash.bare.back() : disk.bare.back());
      const Sample ours = Upload(image);
      for (Series* series : {&hash, &disk, &wire, &slower}) series->ours.push_back(ours);
    }
    const std::string path = absl::StrCat("upload, 1 stream of ", options_.image_mib, " MiB");
    report_.Rate(path, PerSecond(slower.OurRate()), "slower of SHA-256 and disk",
                 PerSecond(slower.BareRate()), slower.RateRatio(), 0.7);
    report_.Rate(path, PerSecond(hash.OurRate()), "SHA-256 alone", PerSecond(hash.BareRate()),
                 hash.RateRatio(), std::nullopt);
    report_.Rate(path, PerSecond(disk.OurRate()), "disk alone, synced", PerSecond(disk.BareRate()),
                 disk.RateRatio(), std::nullopt);
    report_.Rate(path, PerSecond(wire.OurRate()), "bare gRPC stream", PerSecond(wire.BareRate()),
                 wire.RateRatio(), std::nullopt);
    report_.Cost("upload, server CPU", PerGiB(wire.OurServerCpu()), "bare gRPC stream",
                 PerGiB(wire.BareServerCpu()), wire.ServerCpuRatio(), std::nullopt);
    std::fprintf(stderr, "upload: done\n");
  }

  void MeasureDownload(const Image& image) {
    const Child grpc(BareArguments("--bare-grpc"));
    const Child tls(BareArguments("--bare-tls"));
    const Identity gateway{Role::kGateway, "gw-1"};
    const Channels bare = ChannelsTo(grpc.address(), gateway, kConnections);
    const Channels ours = ChannelsTo(store_.address(), gateway, kConnections);
    BareTlsClient raw(pki_.TlsFor(gateway), tls.port(), kConnections);
    const std::string request = DownloadRequest(image);
    Series stream{static_cast<double>(kConnections * image.length()), {}, {}};
    Series socket = stream;
    for (int round = -1; round < options_.rounds; ++round) {
      const Sample of_socket = Measure(tls.pid(), 0, [&] { raw.Download(image.length()); });
      const Sample of_stream =
          Measure(grpc.pid(), 0, [&] { Download(bare, kBareDownload, absl::StrCat(image.length())); });
      int64_t received = 0;
      const Sample of_us = Measure(store_.pid(), postmaster_, [&] {
        received = Download(ours, absl::StrCat(kService, "DownloadImage"), request);
      });
      if (received < kConnections * image.length()) Require(absl::InternalError("bytes are missing"));
      if (round < 0) continue;  // connects, and fills the page cache
      socket.bare.push_back(of_socket);
      stream.bare.push_back(of_stream);
      for (Series* series : {&socket, &stream}) series->ours.push_back(of_us);
    }
    const std::string path =
        absl::StrFormat("download, %d streams of %d MiB", kConnections, options_.image_mib);
    report_.Rate(path, PerSecond(stream.OurRate()), "bare gRPC stream", PerSecond(stream.BareRate()),
                 stream.RateRatio(), 0.9);
    report_.Rate(path, PerSecond(socket.OurRate()), "raw TLS", PerSecond(socket.BareRate()),
                 socket.RateRatio(), 0.75);
    report_.Cost("download, server CPU", PerGiB(stream.OurServerCpu()), "bare gRPC stream",
                 PerGiB(stream.BareServerCpu()), stream.ServerCpuRatio(), std::nullopt);
    report_.Cost("download, server CPU", PerGiB(socket.OurServerCpu()), "raw TLS",
                 PerGiB(socket.BareServerCpu()), socket.ServerCpuRatio(), std::nullopt);
    report_.Cost("download, client CPU", PerGiB(stream.OurClientCpu()), "bare gRPC stream",
                 PerGiB(stream.BareClientCpu()), stream.OurClientCpu() / stream.BareClientCpu(),
                 std::nullopt);
    std::fprintf(stderr, "download: done\n");
  }

  void MeasureMetadata(const std::string& file_name) {
    const Identity gateway{Role::kGateway, "gw-1"};
    v1::GetMetadataRequest request;
    request.set_file_name(file_name);
    v1::MetadataFile file;
    rpc::CallContext context(absl::Seconds(30));
    Require(rpc::FromGrpc(store_.As(gateway)->GetMetadata(context.get(), request, &file)));
    const std::string of_same_size(file.ByteSizeLong(), 'x');

    const Child grpc(BareArguments("--bare-grpc"));
    const Channels bare = ChannelsTo(grpc.address(), gateway, kConnections);
    const Channels ours = ChannelsTo(store_.address(), gateway, kConnections);
    Series series{static_cast<double>(options_.calls), {}, {}};
    for (int round = -1; round < options_.rounds; ++round) {
      const Sample of_bare = Measure(grpc.pid(), 0, [&] {
        CallRepeatedly(bare, kBareEcho, of_same_size, options_.calls, kCallsAtOnce);
      });
      const Sample of_us = Measure(store_.pid(), postmaster_, [&] {
        CallRepeatedly(ours, absl::StrCat(kService, "GetMetadata"), request.SerializeAsString(),
                       options_.calls, kCallsAtOnce);
      });
      if (round < 0) continue;  // connects
      series.bare.push_back(of_bare);
      series.ours.push_back(of_us);
    }
    const std::string path = absl::StrCat("GetMetadata ", file_name);
    report_.Rate(path, Calls(series.OurRate()),
                 absl::StrCat("bare unary echo of ", of_same_size.size(), " bytes"), Calls(series.BareRate()),
                 series.RateRatio(), std::nullopt);
    report_.Cost(absl::StrCat(path, ", server CPU"), Micros(series.OurServerCpu()), "bare unary echo",
                 Micros(series.BareServerCpu()), series.ServerCpuRatio(), 1.25);
    report_.Cost(absl::StrCat(path, ", database CPU"), Micros(series.OurDatabaseCpu()), "bare unary echo",
                 Micros(series.BareServerCpu()), series.OurDatabaseCpu() / series.BareServerCpu(),
                 std::nullopt);
    std::fprintf(stderr, "%s: done\n", file_name.c_str());
  }

  // One image small and one large: what the server's memory grows by must not tell which it was.
  void MeasureMemory() {
    constexpr int64_t kBound = 200 * kMiB;
    std::vector<std::unique_ptr<Image>> images;
    for (const int64_t mib : {options_.image_mib / 4, options_.large_mib}) {
      images.push_back(std::make_unique<Image>(mib * kMiB));
      ResetPeak(store_.pid());
      const std::string before = MiB(ResidentBytes(store_.pid()));
      Upload(*images.back());
      const int64_t peak = PeakResidentBytes(store_.pid());
      report_.Cost(absl::StrFormat("memory, upload of %d MiB", mib), MiB(peak),
                   absl::StrCat("200 MiB, before: ", before), MiB(kBound), static_cast<double>(peak) / kBound,
                   1);
    }
    Publish({images[0].get(), images[1].get()});
    const Channels channels = ChannelsTo(store_.address(), {Role::kGateway, "gw-1"}, kConnections);
    for (const std::unique_ptr<Image>& image : images) {
      ResetPeak(store_.pid());
      const std::string before = MiB(ResidentBytes(store_.pid()));
      Download(channels, absl::StrCat(kService, "DownloadImage"), DownloadRequest(*image));
      const int64_t peak = PeakResidentBytes(store_.pid());
      report_.Cost(absl::StrFormat("memory, %d downloads of %d MiB", kConnections, image->length() / kMiB),
                   MiB(peak), absl::StrCat("200 MiB, before: ", before), MiB(kBound),
                   static_cast<double>(peak) / kBound, 1);
    }
    std::fprintf(stderr, "memory: done\n");
  }

  const Options options_;
  rpc::testing::TestPki pki_;
  Publisher publisher_;
  const StorePlace place_;
  const pid_t postmaster_;
  Program store_;
  int64_t role_version_ = 0;
  Report report_;
};

int Main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "";
  if (argc == 5 && (kind == "--bare-grpc" || kind == "--bare-tls")) {
    const rpc::TlsOptions tls = {.certificate_file = argv[2], .key_file = argv[3], .ca_file = argv[4]};
    kind == "--bare-grpc" ? ServeBareGrpc(tls) : ServeBareTls(tls);
    return 0;
  }
  CLI::App app("The package store's figures next to this machine's limits, taken in the same run.");
  Options options;
  bool quick = false;
  app.add_flag("--quick", quick, "Small images and one round: shows that it works, not how fast");
  app.add_option("--rounds", options.rounds, "Rounds of each measurement; 7 by default")
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (quick) options = {.rounds = 1, .image_mib = 16, .large_mib = 64, .calls = 2'000};
  // The services' quiet log lines are not what one runs this for.
  setenv("COUNTERSIGN_LOG_LEVEL", "error", 0);
  const std::string table = Benchmark(options).Run();
  std::printf("%s", table.c_str());
  return 0;
}

}  // namespace
}  // namespace countersign::load

int main(int argc, char** argv) { return countersign::load::Main(argc, argv); }
