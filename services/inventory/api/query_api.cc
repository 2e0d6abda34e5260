#include "services/inventory/api/query_api.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/db/page_token.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/api/callers.h"
#include "services/inventory/api/component_pages.h"
#include "services/inventory/api/convert.h"
#include "services/inventory/domain/filter.h"
#include "services/inventory/domain/names.h"

namespace countersign::inventory {
namespace {

using domain::Field;
using domain::Resource;

constexpr int kMaxGroupFields = 3;

absl::StatusOr<ComponentOrder> ParseOrder(absl::string_view text) {
  using By = ComponentOrder::By;
  ComponentOrder order;
  if (text.empty()) return order;
  absl::string_view name = text;
  order.descending = absl::ConsumeSuffix(&name, " desc");
  constexpr std::pair<Field, By> kOrders[] = {{Field::kReportTime, By::kReportTime},
                                              {Field::kVersion, By::kVersion},
                                              {Field::kFailureCount, By::kFailureCount},
                                              {Field::kRefusedReports, By::kRefusedReports}};
  const domain::FieldInfo* info = domain::FindField(Resource::kComponent, name);
  for (const auto& [field, by] : kOrders) {
    if (info == nullptr || info->field != field) continue;
    order.by = by;
    return order;
  }
  return Error(
      absl::StatusCode::kInvalidArgument, "ORDER_INVALID",
      absl::StrCat(
          "There is no order by \"", text.substr(0, 64),
          "\": order_by is report_time, version, failure_count or refused_reports, with \" desc\" behind "
          "it for the greatest first."));
}

absl::StatusOr<std::vector<Field>> ParseGroups(const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::vector<Field> fields;
  if (names.size() > kMaxGroupFields) {
    return Error(absl::StatusCode::kInvalidArgument, "GROUP_INVALID",
                 absl::StrCat("Components are counted by at most ", kMaxGroupFields, " fields at once."));
  }
  const absl::Span<const Field> groups = domain::GroupFields();
  for (const std::string& name : names) {
    const domain::FieldInfo* info = domain::FindField(Resource::kComponent, name);
    if (info == nullptr || std::find(groups.begin(), groups.end(), info->field) == groups.end()) {
      return Error(absl::StatusCode::kInvalidArgument, "GROUP_INVALID",
                   absl::StrCat("Components are not counted by \"", name.substr(0, 64), "\": group_by is of ",
                                absl::StrJoin(groups, ", ",
                                              [](std::string* out, Field field) {
                                                absl::StrAppend(out, domain::InfoOf(field).name);
                                              }),
                                "."));
    }
    if (std::find(fields.begin(), fields.end(), info->field) != fields.end()) {
      return Error(absl::StatusCode::kInvalidArgument, "GROUP_INVALID",
                   absl::StrCat("group_by names ", info->name, " twice."));
    }
    fields.push_back(info->field);
  }
  return fields;
}

}  // namespace

void QueryApi::BindTo(rpc::Service& service) {
  service.Unary("ListGateways", this, &QueryApi::ListGateways);
  service.Unary("ListDevices", this, &QueryApi::ListDevices);
  service.Unary("ListComponents", this, &QueryApi::ListComponents);
  service.ServerStream("StreamComponents", this, &QueryApi::StreamComponents);
  service.Unary("CountComponents", this, &QueryApi::CountComponents);
  service.Unary("ExplainFilter", this, &QueryApi::ExplainFilter);
}

absl::Status QueryApi::ListGateways(const rpc::Call& call, const v1::ListGatewaysRequest& request,
                                    v1::ListGatewaysResponse* response) {
  ASSIGN_OR_RETURN(const domain::Filter filter,
                   domain::ParseFilter(Resource::kGateway, request.filter(), clock_.Now()));
  const std::string scope = PageScope(call, request.filter());
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 1));
  ASSIGN_OR_RETURN(const std::vector<domain::Gateway> gateways,
                   queries_.ListGateways(filter, after.empty() ? "" : after[0], page_size + 1));
  for (const domain::Gateway& gateway : gateways) {
    if (response->gateways_size() == page_size) {
      response->set_next_page_token(db::EncodePageToken(scope, {gateways[page_size - 1].id}));
      break;
    }
    *response->add_gateways() = ToProto(gateway);
  }
  return absl::OkStatus();
}

absl::Status QueryApi::ListDevices(const rpc::Call& call, const v1::ListDevicesRequest& request,
                                   v1::ListDevicesResponse* response) {
  ASSIGN_OR_RETURN(const std::string gateway_id, domain::ParseDeviceParent(request.parent()));
  if (!gateway_id.empty()) RETURN_IF_ERROR(CheckOwnGateway(call, gateway_id));
  ASSIGN_OR_RETURN(const domain::Filter filter,
                   domain::ParseFilter(Resource::kDevice, request.filter(), clock_.Now()));
  const std::string scope = PageScope(call, absl::StrCat(request.parent(), "|", request.filter()));
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 2));
  ASSIGN_OR_RETURN(const std::vector<domain::Device> devices,
                   queries_.ListDevices(
                       gateway_id, filter, VisibilityOf(call),
                       after.empty() ? std::pair<std::string, std::string>() : std::pair(after[0], after[1]),
                       page_size + 1));
  for (const domain::Device& device : devices) {
    if (response->devices_size() == page_size) {
      const domain::Device& last = devices[page_size - 1];
      response->set_next_page_token(db::EncodePageToken(scope, {last.gateway_id, last.id}));
      break;
    }
    *response->add_devices() = ToProto(device);
  }
  return absl::OkStatus();
}

absl::Status QueryApi::ListComponents(const rpc::Call& call, const v1::ListComponentsRequest& request,
                                      v1::ListComponentsResponse* response) {
  ASSIGN_OR_RETURN(const domain::Filter filter,
                   domain::ParseFilter(Resource::kComponent, request.filter(), clock_.Now()));
  ASSIGN_OR_RETURN(const ComponentOrder order, ParseOrder(request.order_by()));
  const std::string scope = PageScope(call, absl::StrCat(request.order_by(), "|", request.filter()));
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(
      const std::vector<std::string> after,
      db::DecodePageToken(scope, request.page_token(), order.by == ComponentOrder::By::kName ? 2 : 3));
  ASSIGN_OR_RETURN(const std::vector<PlacedComponent> components,
                   queries_.ListComponents(filter, VisibilityOf(call), order, after, page_size + 1));
  for (const PlacedComponent& placed : components) {
    if (response->components_size() == page_size) {
      response->set_next_page_token(db::EncodePageToken(scope, components[page_size - 1].place));
      break;
    }
    *response->add_components() = ToProto(placed.component);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Producer<v1::StreamComponentsResponse>>> QueryApi::StreamComponents(
    const rpc::Call& call, const v1::StreamComponentsRequest& request, rpc::Waker) {
  ASSIGN_OR_RETURN(domain::Filter filter,
                   domain::ParseFilter(Resource::kComponent, request.filter(), clock_.Now()));
  return NewComponentPages(queries_, std::move(filter), VisibilityOf(call));
}

absl::Status QueryApi::CountComponents(const rpc::Call& call, const v1::CountComponentsRequest& request,
                                       v1::CountComponentsResponse* response) {
  ASSIGN_OR_RETURN(const domain::Filter filter,
                   domain::ParseFilter(Resource::kComponent, request.filter(), clock_.Now()));
  ASSIGN_OR_RETURN(const std::vector<Field> groups, ParseGroups(request.group_by()));
  ASSIGN_OR_RETURN(ComponentCounts counts, queries_.CountComponents(filter, VisibilityOf(call), groups));
  response->set_total(counts.total);
  response->set_truncated(counts.truncated);
  for (ComponentCount& group : counts.groups) {
    v1::ComponentCount& count = *response->add_groups();
    for (std::string& value : group.values) count.add_values(std::move(value));
    count.set_count(group.count);
  }
  return absl::OkStatus();
}

absl::Status QueryApi::ExplainFilter(const rpc::Call& call, const v1::ExplainFilterRequest& request,
                                     v1::ExplainFilterResponse* response) {
  ASSIGN_OR_RETURN(const domain::Filter filter,
                   domain::ParseFilter(Resource::kComponent, request.filter(), clock_.Now()));
  ASSIGN_OR_RETURN(Explanation explanation, queries_.Explain(filter, VisibilityOf(call)));
  response->set_canonical_filter(domain::FormatFilter(filter));
  for (std::string& index : explanation.indexes) response->add_indexes(std::move(index));
  response->set_full_scan(explanation.full_scan);
  response->set_estimated_count(explanation.estimated_rows);
  response->set_plan(std::move(explanation.plan));
  if (explanation.full_scan) {
    response->set_warning(absl::StrCat("The database would read the whole fleet for an estimated ",
                                       explanation.estimated_rows,
                                       " components. If they are few, restrict a field that has an index as "
                                       "well: gateway, device, serial, manufacturer, "
                                       "model, hardware, version, digest, tags, last_report, reason."));
  }
  return absl::OkStatus();
}

}  // namespace countersign::inventory
