#include "tools/fleet/gateway.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/metadata.h"
#include "common/trust/report.h"
#include "common/update/release_info.h"
#include "countersign/consent/v1/consent.grpc.pb.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "nlohmann/json.hpp"

namespace countersign::fleet {
namespace {

using common::v1::FAILURE_REASON_INTEGRITY;
using common::v1::FAILURE_REASON_UPDATE_FAILED;
using common::v1::UpdatePhase;
using consent::v1::ConsentService;
using inventory::v1::InventoryService;
using package_store::v1::PackageStoreService;
using rollout::v1::RolloutService;

constexpr absl::Duration kCallTimeout = absl::Seconds(30);
constexpr absl::Duration kDownloadTimeout = absl::Minutes(10);
constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLongestRetry = absl::Seconds(30);
constexpr int kMaxDoublings = 6;
constexpr char kPolicyText[] = "Simulated users agree to every update.";

// Calls `method` and counts how that went.
template <typename Stub, typename Request, typename Response>
absl::Status Call(const Shared& shared, absl::string_view name, Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response& response) {
  rpc::CallContext context(kCallTimeout);
  const absl::Time begin = shared.clock.Now();
  const absl::Status status = rpc::FromGrpc((stub.*method)(context.get(), request, &response));
  shared.statistics.Call(name, status, shared.clock.Now() - begin);
  return status;
}

class CallFetcher : public trust::Fetcher {
 public:
  using Fetched = std::function<absl::StatusOr<std::string>(const std::string& file_name)>;
  explicit CallFetcher(Fetched call) : call_(std::move(call)) {}
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t) override {
    absl::StatusOr<std::string> content = call_(std::string(filename));
    if (absl::IsNotFound(content.status())) return absl::NotFoundError(content.status().message());
    if (!content.ok()) return absl::UnavailableError(content.status().message());
    return content;
  }

 private:
  const Fetched call_;
};

UpdatePhase PhaseOf(Progress progress) {
  UpdatePhase phase = common::v1::UPDATE_PHASE_UNSPECIFIED;
  common::v1::UpdatePhase_Parse(absl::StrCat("UPDATE_PHASE_", ProgressName(progress)), &phase);
  return phase;
}

std::string StateText(inventory::v1::Component::State state) {
  return std::string(absl::StripPrefix(inventory::v1::Component::State_Name(state), "STATE_"));
}

}  // namespace

Gateway::Gateway(const GatewayPlan& plan, const Shared& shared)
    : plan_(plan),
      shared_(shared),
      ledgers_(plan.components.size()),
      image_store_(&shared.image_metadata),
      manifest_counter_(shared.options.first_counter) {
  components_.reserve(plan.components.size());
  for (const ComponentPlan& component : plan.components) {
    components_.emplace_back(component, shared.products[component.product], plan.lie,
                             shared.options.first_counter);
  }
}

Gateway::~Gateway() = default;

void Gateway::Stop() { hints_.reset(); }

absl::Time Gateway::Turn() {
  const absl::Status status = Step();
  if (!status.ok()) {
    failures_ = std::min(failures_ + 1, kMaxDoublings);
    const absl::Duration wait = std::min(kLongestRetry, kFirstRetry * (1 << failures_));
    shared_.statistics.Add("turns_failed");
    return shared_.clock.Now() + rpc::RetryDelayOf(status).value_or(wait * (0.5 + NextDraw("retry")));
  }
  failures_ = 0;
  if (plan_.kind == Kind::kSilent) {
    rollout_.reset();
    return absl::InfiniteFuture();
  }
  return NextTurn();
}

absl::Status Gateway::Step() {
  RETURN_IF_ERROR(Introduce());
  if (shared_.options.resume && !resumed_) RETURN_IF_ERROR(ResumeFromInventory());
  resumed_ = true;
  const auto changed = [this] {
    return std::any_of(components_.begin(), components_.end(),
                       [](const Component& c) { return c.changed(); });
  };
  if (changed() || shared_.clock.Now() >= next_report_) RETURN_IF_ERROR(Report());
  if (!policy_made_) RETURN_IF_ERROR(CreatePolicy());
  if (plan_.kind == Kind::kSilent) return absl::OkStatus();
  FollowHints();
  if (hinted_.exchange(false) || shared_.clock.Now() >= next_check_in_) {
    // Whatever goes wrong from here on, this is still to be done.
    next_check_in_ = absl::InfinitePast();
    RETURN_IF_ERROR(CheckIn());
  }
  if (look_due_) RETURN_IF_ERROR(Look());
  RETURN_IF_ERROR(Advance());
  return changed() ? Report() : absl::OkStatus();
}

absl::Time Gateway::NextTurn() const {
  absl::Time next = std::min(next_report_, next_check_in_);
  if (stream_ended_) next = std::min(next, next_stream_);
  for (const Component& component : components_) next = std::min(next, component.next());
  return next;
}

absl::Status Gateway::Introduce() {
  if (keys_.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(keys_, DeriveKeys(plan_, shared_.options.key_type, shared_.options.seed,
                                     plan_.lie == Lie::kWrongSignature));
  ASSIGN_OR_RETURN(tls_, IssueTls(shared_.authority, {rpc::Role::kGateway, plan_.id}, shared_.clock.Now()));
  rollout_ = Dial(shared_.options.addresses.rollout, "rollout");
  shared_.statistics.Add("gateways_started");
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> Gateway::Dial(const std::string& address, absl::string_view service) const {
  return rpc::DialFromMemory(tls_, address, {rpc::Role::kService, std::string(service)}, {.max_attempts = 1});
}

const std::shared_ptr<grpc::Channel>& Gateway::PackageStore() {
  if (package_store_ == nullptr)
    package_store_ = Dial(shared_.options.addresses.package_store, "package-store");
  return package_store_;
}

double Gateway::NextDraw(absl::string_view purpose) {
  return Draw(shared_.options.seed, plan_.index, absl::StrCat(purpose, "#", draws_++));
}

Component* Gateway::Find(const std::string& serial) {
  const auto found = std::find_if(components_.begin(), components_.end(),
                                  [&](const Component& c) { return c.plan().serial == serial; });
  return found == components_.end() ? nullptr : &*found;
}

absl::Status Gateway::ResumeFromInventory() {
  const auto stub = InventoryService::NewStub(Dial(shared_.options.addresses.inventory, "inventory"));
  inventory::v1::GetGatewayRequest get;
  get.set_name(absl::StrCat("gateways/", plan_.id));
  inventory::v1::Gateway gateway;
  RETURN_IF_ERROR(Call(shared_, "GetGateway", *stub, &InventoryService::Stub::GetGateway, get, gateway));
  manifest_counter_ = std::max(manifest_counter_, gateway.last_manifest_counter());
  inventory::v1::ListComponentsRequest list;
  list.set_page_size(1000);
  inventory::v1::ListComponentsResponse page;
  RETURN_IF_ERROR(
      Call(shared_, "ListComponents", *stub, &InventoryService::Stub::ListComponents, list, page));
  for (const inventory::v1::Component& known : page.components()) {
    Component* const component = Find(known.ecu_serial());
    if (component == nullptr || known.report_counter() == 0) continue;
    component->Resume({.path = known.installed().target_path(),
                       .length = known.installed().length_bytes(),
                       .sha256 = known.installed().sha256(),
                       .version = known.installed().version(),
                       .release_counter = known.installed().release_counter()},
                      std::max(component->report_counter(), known.report_counter()));
  }
  return absl::OkStatus();
}

absl::Status Gateway::Report() {
  const auto stub = InventoryService::NewStub(Dial(shared_.options.addresses.inventory, "inventory"));
  inventory::v1::CreateChallengeResponse challenge;
  RETURN_IF_ERROR(Call(shared_, "CreateChallenge", *stub, &InventoryService::Stub::CreateChallenge,
                       inventory::v1::CreateChallengeRequest(), challenge));
  trust::GatewayManifest manifest;
  manifest.gateway_id = plan_.id;
  manifest.nonce = challenge.nonce();
  manifest.manifest_counter = ++manifest_counter_;
  manifest.time = shared_.clock.Now();
  std::vector<trust::VersionReport> reports;
  for (size_t i = 0; i < components_.size(); ++i) {
    reports.push_back(components_[i].Report(challenge.nonce()));
    trust::Envelope envelope = reports.back().ToEnvelope();
    RETURN_IF_ERROR(
        envelope.Sign(components_[i].product().constrained ? keys_->proxy : keys_->components[i]));
    manifest.reports.push_back(std::move(envelope));
  }
  trust::Envelope envelope = manifest.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(keys_->manifest));
  inventory::v1::SubmitManifestRequest request;
  request.set_manifest(envelope.Serialise());
  inventory::v1::SubmitManifestResponse response;
  RETURN_IF_ERROR(
      Call(shared_, "SubmitManifest", *stub, &InventoryService::Stub::SubmitManifest, request, response));
  if (response.results_size() != static_cast<int>(components_.size())) {
    return absl::InternalError("the inventory did not answer each report");
  }
  shared_.statistics.Add("manifests");
  for (int i = 0; i < response.results_size(); ++i) {
    const inventory::v1::ComponentResult& result = response.results(i);
    Ledger& ledger = ledgers_[i];
    ledger.state = StateText(result.state());
    if (!result.accepted()) {
      ++ledger.refused[result.reason()];
      shared_.statistics.Add(absl::StrCat("reports_refused_", result.reason()));
      continue;
    }
    ++ledger.accepted;
    shared_.statistics.Add("reports_accepted");
    ledger.report_counter = reports[i].report_counter;
    ledger.version = reports[i].version;
    ledger.sha256 = reports[i].sha256;
    const std::optional<SlotImage>& update = components_[i].update();
    if (ledger.phase == ProgressName(Progress::kVerifying) && update->sha256 == reports[i].sha256) {
      ledger.phase = "SUCCEEDED";
      shared_.statistics.Add("updates_succeeded");
    }
  }
  ++reports_;
  // Who sends an old report again does so at once.
  const bool again = plan_.lie == Lie::kReplayedReport && reports_ == 1;
  absl::Duration interval = shared_.options.report_interval * (0.5 + NextDraw("report") / 2);
  if (response.has_next_report_delay()) {
    interval = std::min(interval, absl::Seconds(response.next_report_delay().seconds()));
  }
  next_report_ = shared_.clock.Now() + (again ? absl::ZeroDuration() : interval);
  return absl::OkStatus();
}

absl::Status Gateway::CreatePolicy() {
  if (plan_.kind == Kind::kAsked || plan_.kind == Kind::kDeclining) {
    policy_made_ = true;
    return absl::OkStatus();
  }
  const auto stub = ConsentService::NewStub(Dial(shared_.options.addresses.consent, "consent"));
  consent::v1::CreatePolicyRequest request;
  request.set_parent(absl::StrCat("gateways/", plan_.id));
  consent::v1::Policy& policy = *request.mutable_policy();
  policy.set_principal_id(absl::StrCat("user-of-", plan_.id));
  for (const auto kind : {common::v1::UPDATE_KIND_SECURITY, common::v1::UPDATE_KIND_FUNCTIONALITY,
                          common::v1::UPDATE_KIND_MIXED}) {
    policy.add_kinds(kind);
  }
  policy.set_language("en");
  policy.set_text_sha256(crypto::Sha256Hex(kPolicyText));
  request.set_request_id(crypto::Uuid());
  consent::v1::Policy created;
  RETURN_IF_ERROR(
      Call(shared_, "CreatePolicy", *stub, &ConsentService::Stub::CreatePolicy, request, created));
  policy_made_ = true;
  return absl::OkStatus();
}

void Gateway::FollowHints() {
  const absl::Time now = shared_.clock.Now();
  if (stream_ended_ && now < next_stream_) return;
  if (hints_ != nullptr && !stream_ended_) return;
  hints_.reset();
  stream_ended_ = false;
  stream_failures_ = std::min(stream_failures_ + 1, kMaxDoublings);
  next_stream_ =
      now + std::min(kLongestRetry, kFirstRetry * (1 << stream_failures_)) * (0.5 + NextDraw("stream"));
  shared_.statistics.Add("streams_opened");
  shared_.statistics.Add("streams_open");
  hints_ = std::make_unique<HintStream>(
      rollout_,
      [this] {
        shared_.statistics.Add("hints");
        hinted_ = true;
        shared_.wake(plan_.index, shared_.clock.Now());
      },
      [this](const absl::Status& status) {
        shared_.statistics.Add("streams_open", -1);
        shared_.statistics.Add(absl::StrCat("streams_ended_", absl::StatusCodeToString(status.code())));
        stream_ended_ = true;
        shared_.wake(plan_.index, shared_.clock.Now());
      });
}

absl::Status Gateway::CheckIn() {
  const auto stub = RolloutService::NewStub(rollout_);
  rollout::v1::CheckInRequest request;
  request.set_director_targets_version(director_version_);
  rollout::v1::CheckInResponse response;
  RETURN_IF_ERROR(Call(shared_, "CheckIn", *stub, &RolloutService::Stub::CheckIn, request, response));
  stream_failures_ = 0;
  if (response.metadata_available()) look_due_ = true;
  if (response.prompts_waiting()) RETURN_IF_ERROR(AnswerPrompts());
  absl::Duration interval = shared_.options.check_in_interval;
  if (response.next_check_in().seconds() > 0) {
    interval = std::min(interval, absl::Seconds(response.next_check_in().seconds()));
  }
  next_check_in_ = shared_.clock.Now() + interval * (0.5 + NextDraw("check-in") / 2);
  return absl::OkStatus();
}

absl::Status Gateway::AnswerPrompts() {
  const auto stub = ConsentService::NewStub(Dial(shared_.options.addresses.consent, "consent"));
  consent::v1::ListPromptsRequest list;
  list.set_parent(absl::StrCat("gateways/", plan_.id));
  list.set_page_size(100);
  consent::v1::ListPromptsResponse prompts;
  RETURN_IF_ERROR(Call(shared_, "ListPrompts", *stub, &ConsentService::Stub::ListPrompts, list, prompts));
  const bool declines = plan_.kind == Kind::kDeclining;
  for (const consent::v1::Prompt& prompt : prompts.prompts()) {
    const common::v1::ReleaseInfo& release = prompt.question().release();
    if (release.notices().empty()) continue;
    consent::v1::AnswerPromptRequest request;
    request.set_name(prompt.name());
    request.set_decision(declines ? consent::v1::DECISION_DENIED : consent::v1::DECISION_GRANTED);
    request.set_principal_id(absl::StrCat("user-of-", plan_.id));
    request.set_language(release.notices(0).language());
    request.set_text_sha256(update::NoticeTextSha256(release.notices(0)));
    if (!declines) request.set_accepted_terms_sha256(release.terms().text_sha256());
    request.set_request_id(crypto::Uuid());
    consent::v1::ConsentRecord record;
    RETURN_IF_ERROR(
        Call(shared_, "AnswerPrompt", *stub, &ConsentService::Stub::AnswerPrompt, request, record));
    shared_.statistics.Add(declines ? "prompts_declined" : "prompts_accepted");
    Component* const component = Find(prompt.question().ecu_serial());
    if (declines && component != nullptr) ledgers_[component - components_.data()].phase = "CANCELLED";
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Gateway::FetchDirector(const std::string& file_name) {
  rollout::v1::GetDirectorMetadataRequest request;
  request.set_file_name(file_name);
  rollout::v1::GetDirectorMetadataResponse response;
  RETURN_IF_ERROR(Call(shared_, "GetDirectorMetadata", *RolloutService::NewStub(rollout_),
                       &RolloutService::Stub::GetDirectorMetadata, request, response));
  return std::move(*response.mutable_content());
}

absl::StatusOr<std::string> Gateway::FetchImages(const std::string& file_name) {
  package_store::v1::GetMetadataRequest request;
  request.set_file_name(file_name);
  package_store::v1::MetadataFile response;
  RETURN_IF_ERROR(Call(shared_, "GetMetadata", *PackageStoreService::NewStub(PackageStore()),
                       &PackageStoreService::Stub::GetMetadata, request, response));
  return std::move(*response.mutable_content());
}

std::vector<trust::InstalledComponent> Gateway::Installed() const {
  std::vector<trust::InstalledComponent> installed;
  for (const Component& component : components_) {
    installed.push_back(
        {component.plan().serial, component.product().hardware_id, component.running().release_counter});
  }
  return installed;
}

absl::StatusOr<std::vector<trust::VerifiedUpdate>> Gateway::Verify() {
  CallFetcher director_files([this](const std::string& name) { return FetchDirector(name); });
  CallFetcher image_files([this](const std::string& name) { return FetchImages(name); });
  trust::RepositoryClient director(&director_files, &director_store_, shared_.options.director_root);
  trust::RepositoryClient images(&image_files, &image_store_, shared_.options.image_root);
  ASSIGN_OR_RETURN(std::vector<trust::VerifiedUpdate> updates,
                   trust::VerifyUpdate(director, images, Installed(), shared_.clock.Now()));
  director_version_ = director.targets().version;
  shared_.statistics.Add("metadata_verified");
  return updates;
}

absl::StatusOr<std::vector<trust::VerifiedUpdate>> Gateway::ReadUnverified() {
  const auto read = [this](const std::string& name) -> absl::StatusOr<trust::Envelope> {
    ASSIGN_OR_RETURN(const std::string bytes, FetchDirector(name));
    return trust::Envelope::Parse(bytes);
  };
  ASSIGN_OR_RETURN(const trust::Envelope timestamp_file, read("timestamp.json"));
  ASSIGN_OR_RETURN(const trust::Timestamp timestamp, trust::Timestamp::Parse(timestamp_file));
  ASSIGN_OR_RETURN(const trust::Envelope snapshot_file,
                   read(trust::MetadataFilename("snapshot", timestamp.snapshot.version)));
  ASSIGN_OR_RETURN(const trust::Snapshot snapshot, trust::Snapshot::Parse(snapshot_file));
  const auto role = snapshot.roles.find("targets");
  if (role == snapshot.roles.end()) return absl::InvalidArgumentError("the snapshot lists no targets");
  ASSIGN_OR_RETURN(const trust::Envelope targets_file,
                   read(trust::MetadataFilename("targets", role->second.version)));
  ASSIGN_OR_RETURN(const trust::Targets targets, trust::Targets::Parse(targets_file));
  std::vector<trust::VerifiedUpdate> updates;
  for (const auto& [path, target] : targets.targets) {
    for (const auto& [serial, ecu] : target.custom.ecu_identifiers) {
      updates.push_back({.ecu_serial = serial,
                         .hardware_id = ecu.hardware_id,
                         .path = path,
                         .length = target.length,
                         .sha256 = target.sha256,
                         .version = target.custom.version,
                         .release_counter = target.custom.release_counter.value_or(0),
                         .consent_record_id = ecu.consent_record_id});
    }
  }
  director_version_ = targets.version;
  shared_.statistics.Add("metadata_read");
  return updates;
}

absl::Status Gateway::Look() {
  const bool verify = NextDraw("verify") < shared_.options.verified;
  const absl::StatusOr<std::vector<trust::VerifiedUpdate>> updates = verify ? Verify() : ReadUnverified();
  package_store_.reset();
  if (absl::IsNotFound(updates.status())) {
    look_due_ = false;  // nothing was ever rolled out to it
    return absl::OkStatus();
  }
  if (!updates.ok()) {
    if (!ReasonOf(updates.status()).empty()) {
      shared_.statistics.Add(absl::StrCat("metadata_refused_", ReasonOf(updates.status())));
    }
    return updates.status();
  }
  look_due_ = false;
  for (const trust::VerifiedUpdate& update : *updates) {
    Component* const component = Find(update.ecu_serial);
    if (component != nullptr && component->Offer(update, director_version_, shared_.clock.Now())) {
      shared_.statistics.Add("updates_begun");
    }
  }
  return absl::OkStatus();
}

absl::Status Gateway::Advance() {
  while (true) {
    rollout::v1::ReportProgressRequest request;
    std::vector<std::pair<size_t, Progress>> told;
    for (size_t i = 0; i < components_.size(); ++i) {
      const absl::Time now = shared_.clock.Now();
      if (components_[i].Due(now) == Progress::kDownloaded) {
        if (absl::Status status = Download(components_[i]); !status.ok()) {
          components_[i].Postpone(now + kFirstRetry * (1 + NextDraw("download")));
          continue;
        }
      }
      const std::optional<Progress> due = components_[i].Due(now);
      if (!due.has_value()) continue;
      rollout::v1::Progress& progress = *request.add_progress();
      progress.set_ecu_serial(components_[i].plan().serial);
      progress.set_sha256(components_[i].update()->sha256);
      progress.set_phase(PhaseOf(*due));
      if (*due == Progress::kFailed || *due == Progress::kRolledBack) {
        // What fails before it was installed was not what was promised.
        const bool damaged =
            *due == Progress::kFailed && ledgers_[i].phase == ProgressName(Progress::kDownloading);
        progress.set_failure_reason(damaged ? FAILURE_REASON_INTEGRITY : FAILURE_REASON_UPDATE_FAILED);
        progress.set_failure_detail(damaged ? "the image is not the one that was promised"
                                            : "a simulated device fails as it was planned to");
      }
      told.push_back({i, *due});
    }
    if (told.empty()) return absl::OkStatus();
    rollout::v1::ReportProgressResponse response;
    RETURN_IF_ERROR(Call(shared_, "ReportProgress", *RolloutService::NewStub(rollout_),
                         &RolloutService::Stub::ReportProgress, request, response));
    if (response.accepted_size() != static_cast<int>(told.size())) {
      return absl::InternalError("the rollout service did not answer each progress");
    }
    for (size_t k = 0; k < told.size(); ++k) {
      const auto [i, progress] = told[k];
      const bool taken = response.accepted(static_cast<int>(k));
      components_[i].Told(taken, shared_.clock.Now());
      if (taken) ledgers_[i].phase = std::string(ProgressName(progress));
      if (!taken) {
        shared_.statistics.Add(absl::StrCat("progress_not_taken_", ProgressName(progress)));
      } else if (progress == Progress::kFailed || progress == Progress::kRolledBack) {
        shared_.statistics.Add(progress == Progress::kFailed ? "updates_failed" : "updates_rolled_back");
      }
    }
  }
}

absl::Status Gateway::Download(Component& component) {
  if (NextDraw("download") >= shared_.options.downloaded) return absl::OkStatus();
  const SlotImage& update = *component.update();
  trust::ImageCheck check(update.length, update.sha256);
  package_store::v1::DownloadImageRequest request;
  request.set_sha256(update.sha256);
  rpc::CallContext context(kDownloadTimeout);
  const absl::Time begin = shared_.clock.Now();
  const auto reader = PackageStoreService::NewStub(PackageStore())->DownloadImage(context.get(), request);
  package_store::v1::DownloadImageResponse chunk;
  absl::Status checked;
  while (checked.ok() && reader->Read(&chunk)) checked = check.Update(chunk.data());
  if (!checked.ok()) context->TryCancel();
  const absl::Status ended = rpc::FromGrpc(reader->Finish());
  package_store_.reset();
  if (checked.ok() && ended.ok()) checked = check.Finish();
  shared_.statistics.Call("DownloadImage", checked.ok() ? ended : checked, shared_.clock.Now() - begin);
  if (!checked.ok()) {
    component.Refuse(shared_.clock.Now());
    return absl::OkStatus();
  }
  shared_.statistics.Add("downloaded_bytes", check.received());
  return ended;
}

std::string Gateway::Account() const {
  std::string lines;
  for (size_t i = 0; i < components_.size(); ++i) {
    const Ledger& ledger = ledgers_[i];
    absl::StrAppend(&lines,
                    nlohmann::json({{"ecu_serial", plan_.components[i].serial},
                                    {"gateway", plan_.id},
                                    {"kind", std::string(KindName(plan_.kind))},
                                    {"lie", std::string(LieName(plan_.lie))},
                                    {"accepted", ledger.accepted},
                                    {"refused", ledger.refused},
                                    {"state", ledger.state},
                                    {"report_counter", ledger.report_counter},
                                    {"version", ledger.version},
                                    {"sha256", ledger.sha256},
                                    {"phase", ledger.phase}})
                        .dump(),
                    "\n");
  }
  return lines;
}

}  // namespace countersign::fleet
