#include "services/inventory/storage/fleet_queries.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/db/sql.h"
#include "common/status/macros.h"
#include "nlohmann/json.hpp"
#include "services/inventory/storage/filter_sql.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

using domain::Filter;

// Up to here it costs less to sort what is selected for each batch than to walk past the rest of the fleet.
constexpr int64_t kManyRows = 20'000;

// A plan along an index, and no sort, wherever there is such an index. What makes a plan without a sort look
// dear makes the compiler start for each batch.
constexpr char kNoSort[] =
    "SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off; SET LOCAL jit = off";

// The rows of a resource that a filter selects and the caller may see, as `alias`.
class Selection {
 public:
  Selection(const Filter& filter, char alias) : alias_(alias) { Add(FilterCondition(filter, parameters_)); }

  void Add(std::string condition) { conditions_.push_back(std::move(condition)); }
  void AddEquals(absl::string_view column, std::string value) {
    Add(absl::StrCat(std::string(1, alias_), ".", column, " = ", Bind(std::move(value))));
  }
  void AddVisibility(const Visibility& visibility) {
    if (visibility.manufacturer.has_value()) AddEquals("manufacturer", *visibility.manufacturer);
    if (visibility.gateway_id.has_value()) AddEquals("gateway_id", *visibility.gateway_id);
  }
  std::string Bind(std::string value) { return parameters_.Bind(std::move(value)); }

  std::string Where() const { return absl::StrCat(" WHERE ", absl::StrJoin(conditions_, " AND ")); }

  pqxx::result Run(db::Session& session, const std::string& sql) const {
    return session.exec_params(sql, pqxx::prepare::make_dynamic_params(parameters_.values()));
  }

 private:
  const char alias_;
  Parameters parameters_;
  std::vector<std::string> conditions_;
};

Selection ComponentsOf(const Filter& filter, const Visibility& visibility) {
  Selection selection(filter, 'c');
  selection.AddVisibility(visibility);
  return selection;
}

// The counts that are kept (migration 0004), as rows that have columns of components.
constexpr char kKeptCounts[] =
    "(SELECT manufacturer, model, image_version, version_key, state, state_reason, n FROM component_counts"
    " UNION ALL SELECT manufacturer, model, image_version, version_sort_key(image_version), state, "
    "state_reason, n"
    " FROM component_count_changes) c";

bool IsCounted(domain::Field field) {
  return field == domain::Field::kManufacturer || field == domain::Field::kModel ||
         field == domain::Field::kVersion || field == domain::Field::kState ||
         field == domain::Field::kStateReason;
}

// Whether the counts that are kept have all that `expression` asks about.
bool CountsKnow(const domain::Expression& expression) {
  if (expression.kind == domain::Expression::Kind::kSearch) return false;
  if (expression.kind == domain::Expression::Kind::kTerm) return IsCounted(expression.term.field);
  return std::all_of(expression.children.begin(), expression.children.end(), CountsKnow);
}

struct OrderColumn {
  const char* sql;   // never NULL
  const char* cast;  // of a bound value
};

OrderColumn ColumnOf(ComponentOrder::By by) {
  switch (by) {
    case ComponentOrder::By::kReportTime:
      return {"COALESCE(c.reported_at, '-infinity')", "::timestamptz"};
    case ComponentOrder::By::kVersion:
      return {"COALESCE(c.version_key, '')", "::text"};
    case ComponentOrder::By::kFailureCount:
      return {"c.failure_count", "::bigint"};
    case ComponentOrder::By::kRefusedReports:
      return {"c.refused_reports", "::bigint"};
    case ComponentOrder::By::kName:
      break;
  }
  return {"", ""};
}

// What of a plan is worth knowing. Of gateways and devices a join may read all, where that costs less than
// looking up each: they are a fraction of the fleet.
struct Reading {
  std::set<std::string> indexes;
  std::vector<std::string> whole_indexes;  // read from one end to the other
  bool whole_table = false;
};

void Inspect(const nlohmann::json& node, Reading& reading) {
  const std::string type = node.value("Node Type", "");
  if (type == "Seq Scan" && node.value("Relation Name", "") == "components") reading.whole_table = true;
  if (node.contains("Index Name")) {
    const std::string index = node["Index Name"].get<std::string>();
    reading.indexes.insert(index);
    if (!node.contains("Index Cond")) reading.whole_indexes.push_back(index);
  }
  if (const auto plans = node.find("Plans"); plans != node.end()) {
    for (const nlohmann::json& plan : *plans) Inspect(plan, reading);
  }
}

// An index of a part of the fleet may be read as a whole: the part is what was asked for.
constexpr char kCountWholeIndexes[] = R"sql(
  SELECT count(*) FROM unnest($1::text[]) AS name JOIN pg_index ON indexrelid = to_regclass(name)
  WHERE indpred IS NULL AND indrelid = 'components'::regclass)sql";

absl::StatusOr<nlohmann::json> PlanOf(db::Session& session, const std::string& query,
                                      const Selection& selection) {
  const pqxx::result rows = selection.Run(session, absl::StrCat("EXPLAIN (FORMAT JSON) ", query));
  const nlohmann::json parsed =
      nlohmann::json::parse(db::TextOf(rows[0][0]), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_array() || parsed.empty() || !parsed[0].contains("Plan")) {
    return absl::InternalError("the database's plan cannot be read");
  }
  return parsed[0]["Plan"];
}

std::string GroupValue(domain::Field field, std::string text) {
  const domain::FieldInfo& info = domain::InfoOf(field);
  if (info.type != domain::FieldType::kEnum) return text;
  for (const domain::EnumValue& value : info.values) {
    if (absl::StrCat(value.number) == text) return std::string(value.name);
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<domain::Gateway>> FleetQueries::ListGateways(const Filter& filter,
                                                                        absl::string_view after, int limit) {
  return database_.Read(
      "ListGateways", [&](db::Reader& reader) -> absl::StatusOr<std::vector<domain::Gateway>> {
        Selection selection(filter, 'g');
        selection.Add(absl::StrCat("g.gateway_id > ", selection.Bind(std::string(after))));
        std::vector<domain::Gateway> gateways;
        const pqxx::result rows =
            selection.Run(reader, absl::StrCat("SELECT ", kGatewayColumns, " FROM gateways g",
                                               selection.Where(), " ORDER BY gateway_id LIMIT ", limit));
        for (const pqxx::row& row : rows) gateways.push_back(ReadGateway(row));
        return gateways;
      });
}

absl::StatusOr<std::vector<domain::Device>> FleetQueries::ListDevices(
    absl::string_view gateway_id, const Filter& filter, const Visibility& visibility,
    const std::pair<std::string, std::string>& after, int limit) {
  return database_.RunInTransaction(
      "ListDevices", db::Isolation::kSnapshot,
      [&](db::Transaction& tx) -> absl::StatusOr<std::vector<domain::Device>> {
        Selection selection(filter, 'd');
        if (!gateway_id.empty()) selection.AddEquals("gateway_id", std::string(gateway_id));
        selection.AddVisibility(visibility);
        const std::string after_gateway = selection.Bind(after.first);
        const std::string after_device = selection.Bind(after.second);
        selection.Add(
            absl::StrCat("(d.gateway_id, d.device_id) > (", after_gateway, ", ", after_device, ")"));
        std::vector<domain::Device> devices;
        const pqxx::result rows =
            selection.Run(tx, absl::StrCat("SELECT ", kDeviceColumns, " FROM devices d", selection.Where(),
                                           " ORDER BY gateway_id, device_id LIMIT ", limit));
        for (const pqxx::row& row : rows) devices.push_back(ReadDevice(row));
        LoadComponents(tx, absl::MakeSpan(devices));
        return devices;
      });
}

absl::StatusOr<std::vector<PlacedComponent>> FleetQueries::ListComponents(const Filter& filter,
                                                                          const Visibility& visibility,
                                                                          ComponentOrder order,
                                                                          absl::Span<const std::string> after,
                                                                          int limit) {
  return database_.Read(
      "ListComponents", [&](db::Reader& reader) -> absl::StatusOr<std::vector<PlacedComponent>> {
        Selection selection = ComponentsOf(filter, visibility);
        const bool by_name = order.by == ComponentOrder::By::kName;
        const OrderColumn column = ColumnOf(order.by);
        std::string keys = "c.gateway_id, c.ecu_serial";
        if (!by_name) keys = absl::StrCat(column.sql, ", ", keys);
        if (!after.empty()) {
          std::vector<std::string> values;
          for (const std::string& key : after) values.push_back(selection.Bind(key));
          if (!by_name) values[0] += column.cast;
          selection.Add(absl::StrCat("(", keys, ") ", order.descending ? "<" : ">", " (",
                                     absl::StrJoin(values, ", "), ")"));
        }
        const std::string direction = order.descending ? " DESC" : "";
        const pqxx::result rows = selection.Run(
            reader, absl::StrCat("SELECT ", kComponentColumns,
                                 by_name ? "" : absl::StrCat(", ", column.sql, " AS place"),
                                 " FROM components c", selection.Where(), " ORDER BY ",
                                 by_name ? "" : absl::StrCat(column.sql, direction, ", "), "c.gateway_id",
                                 direction, ", c.ecu_serial", direction, " LIMIT ", limit));
        std::vector<PlacedComponent> components;
        components.reserve(rows.size());
        for (const pqxx::row& row : rows) {
          PlacedComponent& placed = components.emplace_back();
          placed.component = ReadComponent(row);
          if (!by_name) placed.place.push_back(db::TextOf(row["place"]));
          placed.place.push_back(placed.component.gateway_id);
          placed.place.push_back(placed.component.ecu_serial);
        }
        return components;
      });
}

absl::StatusOr<FleetQueries::Walk> FleetQueries::ChooseWalk(const Filter& filter,
                                                            const Visibility& visibility) {
  return database_.Read("ChooseWalk", [&](db::Reader& reader) -> absl::StatusOr<Walk> {
    const Selection selection = ComponentsOf(filter, visibility);
    ASSIGN_OR_RETURN(const nlohmann::json plan,
                     PlanOf(reader, absl::StrCat("SELECT FROM components c", selection.Where()), selection));
    return plan.value("Plan Rows", 0.0) > kManyRows ? Walk::kInOrder : Walk::kSelect;
  });
}

absl::StatusOr<std::vector<domain::Component>> FleetQueries::NextComponents(
    const Filter& filter, const Visibility& visibility, Walk walk, const ComponentKey& after, int limit) {
  return database_.RunInTransaction(
      "NextComponents", [&](db::Transaction& tx) -> absl::StatusOr<std::vector<domain::Component>> {
        if (walk == Walk::kInOrder) tx.exec(kNoSort);
        Selection selection = ComponentsOf(filter, visibility);
        const std::string after_gateway = selection.Bind(after.first);
        const std::string after_serial = selection.Bind(after.second);
        selection.Add(
            absl::StrCat("(c.gateway_id, c.ecu_serial) > (", after_gateway, ", ", after_serial, ")"));
        const pqxx::result rows = selection.Run(
            tx, absl::StrCat("SELECT ", kComponentColumns, " FROM components c", selection.Where(),
                             " ORDER BY c.gateway_id, c.ecu_serial LIMIT ", limit));
        std::vector<domain::Component> components;
        components.reserve(rows.size());
        for (const pqxx::row& row : rows) components.push_back(ReadComponent(row));
        return components;
      });
}

absl::StatusOr<ComponentCounts> FleetQueries::CountComponents(const Filter& filter,
                                                              const Visibility& visibility,
                                                              absl::Span<const domain::Field> fields) {
  return database_.Read("CountComponents", [&](db::Reader& reader) -> absl::StatusOr<ComponentCounts> {
    const Selection selection = ComponentsOf(filter, visibility);
    const bool kept = CountsKnow(filter.expression) && !visibility.gateway_id.has_value() &&
                      std::all_of(fields.begin(), fields.end(), IsCounted);
    const std::string from = absl::StrCat(" FROM ", kept ? kKeptCounts : "components c");
    const std::string count = kept ? "COALESCE(sum(c.n), 0)::bigint" : "count(*)";
    ComponentCounts counts;
    if (fields.empty()) {
      const pqxx::result rows =
          selection.Run(reader, absl::StrCat("SELECT ", count, from, selection.Where()));
      counts.total = rows[0][0].as<int64_t>();
      return counts;
    }
    std::string join;
    std::vector<std::string> expressions;
    std::vector<std::string> positions;
    for (const domain::Field field : fields) {
      expressions.push_back(GroupExpression(field, &join));
      positions.push_back(absl::StrCat(expressions.size()));
    }
    // One more than is told, so that it can be said that there are more.
    const pqxx::result rows = selection.Run(
        reader, absl::StrCat("SELECT ", absl::StrJoin(expressions, ", "), ", ", count, " AS n, (sum(", count,
                             ") OVER ())::bigint AS total", from, join, selection.Where(), " GROUP BY ",
                             absl::StrJoin(positions, ", "), " HAVING ", count, " <> 0 ORDER BY n DESC, ",
                             absl::StrJoin(positions, ", "), " LIMIT ", kMaxGroups + 1));
    for (const pqxx::row& row : rows) {
      counts.total = row["total"].as<int64_t>();
      counts.truncated = counts.groups.size() == kMaxGroups;
      if (counts.truncated) break;
      ComponentCount& group = counts.groups.emplace_back();
      for (size_t i = 0; i < fields.size(); ++i) {
        group.values.push_back(GroupValue(fields[i], db::TextOf(row[static_cast<pqxx::row::size_type>(i)])));
      }
      group.count = row["n"].as<int64_t>();
    }
    return counts;
  });
}

absl::StatusOr<Explanation> FleetQueries::Explain(const Filter& filter, const Visibility& visibility) {
  return database_.Read("ExplainFilter", [&](db::Reader& reader) -> absl::StatusOr<Explanation> {
    const Selection selection = ComponentsOf(filter, visibility);
    const std::string query = absl::StrCat("SELECT c.* FROM components c", selection.Where());
    ASSIGN_OR_RETURN(const nlohmann::json plan, PlanOf(reader, query, selection));
    Explanation explanation;
    Reading reading;
    Inspect(plan, reading);
    explanation.indexes.assign(reading.indexes.begin(), reading.indexes.end());
    explanation.full_scan =
        reading.whole_table ||
        reader.exec_params(kCountWholeIndexes, db::TextArray(reading.whole_indexes))[0][0].as<int64_t>() > 0;
    explanation.estimated_rows = static_cast<int64_t>(plan.value("Plan Rows", 0.0));
    for (const pqxx::row& row : selection.Run(reader, absl::StrCat("EXPLAIN ", query))) {
      absl::StrAppend(&explanation.plan, db::TextOf(row[0]), "\n");
    }
    return explanation;
  });
}

}  // namespace countersign::inventory
