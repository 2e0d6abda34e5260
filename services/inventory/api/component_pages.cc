#include "services/inventory/api/component_pages.h"

#include <optional>
#include <utility>
#include <vector>

#include "common/status/macros.h"
#include "services/inventory/api/convert.h"

namespace countersign::inventory {
namespace {

// As StreamComponentsResponse promises.
constexpr size_t kComponentsPerMessage = 500;
// Read at once: what is read from where the last batch ended is found and sorted anew each time.
constexpr size_t kComponentsPerBatch = 5000;
// The database estimated few, and there are many.
constexpr size_t kTooManyToSelect = 100'000;

class ComponentPages : public rpc::Producer<v1::StreamComponentsResponse> {
 public:
  ComponentPages(FleetQueries& queries, domain::Filter filter, Visibility visibility)
      : queries_(queries), filter_(std::move(filter)), visibility_(std::move(visibility)) {}

  absl::StatusOr<rpc::Step> Next(v1::StreamComponentsResponse* response) override {
    if (next_ == batch_.size()) RETURN_IF_ERROR(ReadBatch());
    if (batch_.empty()) return rpc::Step::kEnd;
    for (size_t i = 0; i < kComponentsPerMessage && next_ < batch_.size(); ++i) {
      *response->add_components() = ToProto(batch_[next_++]);
    }
    return rpc::Step::kWrite;
  }

 private:
  absl::Status ReadBatch() {
    const bool first = !walk_.has_value();
    if (first) {
      ASSIGN_OR_RETURN(walk_, queries_.ChooseWalk(filter_, visibility_));
    } else if (batch_.size() < kComponentsPerBatch) {
      batch_.clear();
      next_ = 0;
      return absl::OkStatus();
    }
    if (read_ > kTooManyToSelect) walk_ = FleetQueries::Walk::kInOrder;
    ComponentKey after;
    if (!batch_.empty()) after = {batch_.back().gateway_id, batch_.back().ecu_serial};
    ASSIGN_OR_RETURN(batch_,
                     queries_.NextComponents(filter_, visibility_, *walk_, after, kComponentsPerBatch));
    next_ = 0;
    read_ += batch_.size();
    return absl::OkStatus();
  }

  FleetQueries& queries_;
  const domain::Filter filter_;
  const Visibility visibility_;
  std::optional<FleetQueries::Walk> walk_;  // unless nothing was read yet
  std::vector<domain::Component> batch_;
  size_t next_ = 0;  // in batch_
  size_t read_ = 0;
};

}  // namespace

std::unique_ptr<rpc::Producer<v1::StreamComponentsResponse>> NewComponentPages(FleetQueries& queries,
                                                                               domain::Filter filter,
                                                                               Visibility visibility) {
  return std::make_unique<ComponentPages>(queries, std::move(filter), std::move(visibility));
}

}  // namespace countersign::inventory
