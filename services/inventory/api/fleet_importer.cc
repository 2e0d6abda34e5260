#include "services/inventory/api/fleet_importer.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/api/convert.h"
#include "services/inventory/domain/provisioning.h"

namespace countersign::inventory {
namespace {

constexpr int kMaxBatch = 500;
constexpr int kMaxProblems = 100;
constexpr int kMaxOutcomes = 10'000;
// Somebody else may create what this creates; then it is there when it is looked at again.
constexpr int kAttempts = 3;

absl::Status Invalid(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "IMPORT_INVALID", what);
}

class Consumer : public rpc::Consumer<v1::ImportFleetRequest, v1::ImportFleetResponse> {
 public:
  explicit Consumer(FleetImporter importer) : importer_(std::move(importer)) {}

  absl::Status OnMessage(const v1::ImportFleetRequest& request) override {
    if (request.has_header() != !header_.has_value()) {
      return Invalid("An import is one header, and then batches.");
    }
    if (request.has_header()) {
      header_ = request.header();
      return absl::OkStatus();
    }
    return Take(request.batch());
  }

  absl::Status OnEnd(v1::ImportFleetResponse* response) override {
    if (!header_.has_value()) return Invalid("An import is one header, and then batches.");
    *response = std::move(response_);
    return absl::OkStatus();
  }

 private:
  // One of a batch: what it is, and what became of it.
  struct Entry {
    std::string name;
    Imported imported;
    int components = 0;
    bool device = false;
  };

  absl::Status Take(const v1::ImportBatch& batch) {
    if (batch.gateways_size() + batch.devices_size() > kMaxBatch) {
      return Invalid(absl::StrCat("A batch has at most ", kMaxBatch, " gateways and devices."));
    }
    std::vector<Entry> entries;
    FleetPart part;
    std::vector<size_t> taken;  // entries of `part`, gateways first
    const absl::Time now = importer_.clock.Now();
    for (const v1::Gateway& proto : batch.gateways()) {
      Entry& entry = entries.emplace_back(Entry{proto.name(), {}, 0, false});
      absl::StatusOr<domain::Gateway> gateway = FromProto(proto, now);
      entry.imported.problem = gateway.ok() ? domain::CheckGateway(*gateway) : gateway.status();
      if (!entry.imported.problem.ok()) continue;
      part.gateways.push_back(*std::move(gateway));
      taken.push_back(entries.size() - 1);
    }
    for (const v1::Device& proto : batch.devices()) {
      Entry& entry = entries.emplace_back(Entry{proto.name(), {}, proto.components_size(), true});
      absl::StatusOr<domain::Device> device = FromProto(proto, now);
      entry.imported.problem = device.ok() ? domain::CheckDevice(*device) : device.status();
      if (!entry.imported.problem.ok()) continue;
      part.devices.push_back(*std::move(device));
      taken.push_back(entries.size() - 1);
    }
    if (!header_->dry_run()) RETURN_IF_ERROR(AskRegistry(part.devices));
    ASSIGN_OR_RETURN(ImportedPart imported, TakePart(part));
    for (size_t i = 0; i < taken.size(); ++i) {
      entries[taken[i]].imported = std::move(
          i < part.gateways.size() ? imported.gateways[i] : imported.devices[i - part.gateways.size()]);
    }
    for (const Entry& entry : entries) RETURN_IF_ERROR(Tell(entry));
    return absl::OkStatus();
  }

  absl::Status AskRegistry(std::vector<domain::Device>& devices) {
    ASSIGN_OR_RETURN(const std::vector<bool> is_new, importer_.import.FindNew(devices));
    for (size_t i = 0; i < devices.size(); ++i) {
      if (is_new[i] && !devices[i].app_id.empty()) RETURN_IF_ERROR(importer_.ask_registry(devices[i]));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ImportedPart> TakePart(const FleetPart& part) {
    absl::StatusOr<ImportedPart> imported = absl::InternalError("not tried");
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      imported = importer_.import.Take(part, header_->dry_run(), [](const domain::Component& component) {
        return ToProto(component).SerializeAsString();
      });
      if (imported.status().code() != absl::StatusCode::kAlreadyExists) break;
    }
    return imported;
  }

  absl::Status Tell(const Entry& entry) {
    v1::ImportOutcome outcome;
    outcome.set_name(entry.name);
    switch (entry.imported.result) {
      case Imported::Result::kCreated:
        outcome.set_result(v1::ImportOutcome::RESULT_CREATED);
        if (entry.device) {
          response_.set_devices_created(response_.devices_created() + 1);
          response_.set_components_created(response_.components_created() + entry.components);
        } else {
          response_.set_gateways_created(response_.gateways_created() + 1);
        }
        if (!header_->dry_run()) importer_.on_change();
        break;
      case Imported::Result::kUnchanged:
        outcome.set_result(v1::ImportOutcome::RESULT_UNCHANGED);
        response_.set_unchanged(response_.unchanged() + 1);
        break;
      case Imported::Result::kRefused:
        outcome.set_result(v1::ImportOutcome::RESULT_REFUSED);
        outcome.set_reason(ReasonOf(entry.imported.problem));
        outcome.set_message(std::string(entry.imported.problem.message()));
        response_.set_refused(response_.refused() + 1);
        if (response_.problems_size() < kMaxProblems) {
          v1::ImportProblem& problem = *response_.add_problems();
          problem.set_name(outcome.name());
          problem.set_reason(outcome.reason());
          problem.set_message(outcome.message());
        }
        break;
    }
    if (!header_->list_outcomes()) return absl::OkStatus();
    if (response_.outcomes_size() == kMaxOutcomes) {
      return Invalid(
          absl::StrCat("With list_outcomes a stream has at most ", kMaxOutcomes, " gateways and devices."));
    }
    *response_.add_outcomes() = std::move(outcome);
    return absl::OkStatus();
  }

  const FleetImporter importer_;
  std::optional<v1::ImportHeader> header_;
  v1::ImportFleetResponse response_;
};

}  // namespace

std::unique_ptr<rpc::Consumer<v1::ImportFleetRequest, v1::ImportFleetResponse>> NewFleetImport(
    FleetImporter importer) {
  return std::make_unique<Consumer>(std::move(importer));
}

}  // namespace countersign::inventory
