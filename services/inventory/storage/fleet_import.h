#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FLEET_IMPORT_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FLEET_IMPORT_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"

namespace countersign::inventory {

// Gateways, and devices of these or of gateways that are there. All have passed the domain's checks.
struct FleetPart {
  std::vector<domain::Gateway> gateways;
  std::vector<domain::Device> devices;
};

// What became of one of them, or would.
struct Imported {
  enum class Result { kCreated, kUnchanged, kRefused };
  Result result = Result::kRefused;
  absl::Status problem;  // why it was refused; else OK
};

struct ImportedPart {
  std::vector<Imported> gateways;
  std::vector<Imported> devices;
};

// Takes a part of a fleet into the inventory, a transaction for all of it: what is not there is created, with
// an event in the outbox for each component (`encode_component` makes its payload); what is there is never
// changed. With `dry_run` nothing is. Problems have the reasons of CreateGateway and CreateDevice, or
// DIFFERS. Thread-safe. Blocks. Errors are Database's; ALREADY_EXISTS when somebody created one of them
// meanwhile: do it again.
class FleetImport {
 public:
  // `database` must outlive it.
  explicit FleetImport(db::Database& database) : database_(database) {}

  absl::StatusOr<ImportedPart> Take(
      const FleetPart& part, bool dry_run,
      absl::FunctionRef<std::string(const domain::Component&)> encode_component);

  // Which of `devices` are not there: of them the App-ID registry is asked.
  absl::StatusOr<std::vector<bool>> FindNew(const std::vector<domain::Device>& devices);

 private:
  db::Database& database_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FLEET_IMPORT_H_
