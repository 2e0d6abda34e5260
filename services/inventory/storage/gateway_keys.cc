#include "services/inventory/storage/gateway_keys.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::inventory {
namespace {

constexpr char kSelectGatewayKeys[] =
    "SELECT public_key_pem, proxy_public_key_pem FROM gateways WHERE gateway_id = $1";
constexpr char kSelectComponentKeys[] =
    "SELECT ecu_serial, hardware_id, manufacturer, model, public_key_pem FROM components WHERE gateway_id = "
    "$1";

absl::StatusOr<std::shared_ptr<const domain::GatewayKeys>> Load(db::Reader& reader,
                                                                const std::string& gateway_id) {
  const pqxx::result gateways =
      db::ExecPrepared(reader, "inventory_gateway_keys", kSelectGatewayKeys, gateway_id);
  if (gateways.empty()) {
    return Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
                 absl::StrCat("Gateway \"", gateway_id,
                              "\" is not provisioned: an operator does so with CreateGateway."),
                 {{"gateway", gateway_id}});
  }
  ASSIGN_OR_RETURN(domain::VerificationKey key, domain::MakeVerificationKey(db::TextOf(gateways[0][0])));
  auto keys = std::make_shared<domain::GatewayKeys>(
      domain::GatewayKeys{gateway_id, std::move(key), std::nullopt, {}});
  if (const std::string pem = db::TextOf(gateways[0][1]); !pem.empty()) {
    ASSIGN_OR_RETURN(keys->proxy_key, domain::MakeVerificationKey(pem));
  }
  for (const pqxx::row& row :
       db::ExecPrepared(reader, "inventory_component_keys", kSelectComponentKeys, gateway_id)) {
    domain::KnownComponent component{db::TextOf(row[1]), db::TextOf(row[2]), db::TextOf(row[3]),
                                     std::nullopt};
    if (const std::string pem = db::TextOf(row[4]); !pem.empty()) {
      ASSIGN_OR_RETURN(component.key, domain::MakeVerificationKey(pem));
    }
    keys->components.emplace(db::TextOf(row[0]), std::move(component));
  }
  return keys;
}

// A gateway weighs as one component more.
size_t WeightOf(const domain::GatewayKeys& keys) { return keys.components.size() + 1; }

}  // namespace

absl::StatusOr<std::shared_ptr<const domain::GatewayKeys>> GatewayKeyCache::Get(
    absl::string_view gateway_id) {
  {
    absl::MutexLock lock(&mutex_);
    if (const auto kept = kept_.find(gateway_id); kept != kept_.end()) {
      order_.splice(order_.begin(), order_, kept->second);
      return order_.front();
    }
  }
  return Reload(gateway_id);
}

absl::StatusOr<std::shared_ptr<const domain::GatewayKeys>> GatewayKeyCache::Reload(
    absl::string_view gateway_id) {
  ASSIGN_OR_RETURN(std::shared_ptr<const domain::GatewayKeys> keys,
                   database_.Read("LoadGatewayKeys",
                                  [&](db::Reader& reader) { return Load(reader, std::string(gateway_id)); }));
  Keep(keys);
  return keys;
}

void GatewayKeyCache::Keep(std::shared_ptr<const domain::GatewayKeys> keys) {
  absl::MutexLock lock(&mutex_);
  if (const auto kept = kept_.find(keys->gateway_id); kept != kept_.end()) {
    components_ -= WeightOf(**kept->second);
    order_.erase(kept->second);
    kept_.erase(kept);
  }
  components_ += WeightOf(*keys);
  order_.push_front(std::move(keys));
  kept_[order_.front()->gateway_id] = order_.begin();
  while (components_ > max_components_ && order_.size() > 1) {
    components_ -= WeightOf(*order_.back());
    kept_.erase(order_.back()->gateway_id);
    order_.pop_back();
  }
}

}  // namespace countersign::inventory
