#include "services/inventory/storage/filter_sql.h"

#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/db/sql.h"
#include "common/version/version.h"

namespace countersign::inventory {
namespace {

using domain::Expression;
using domain::Field;
using domain::FieldType;
using domain::Op;
using domain::Resource;
using domain::Term;

enum class Table { kGateways, kDevices, kComponents };

struct Column {
  Table table;
  const char* sql;
  bool nullable = false;
  const char* helper = nullptr;  // the indexed column of the migration 0003: the sort key, the slot of time
};

// Where a field stands. What devices and components both have is taken from the listed resource itself, so
// that an index answers without a join.
Column ColumnOf(Field field, Resource resource) {
  const bool device = resource == Resource::kDevice;
  switch (field) {
    case Field::kGateway:
      if (resource == Resource::kGateway) return {Table::kGateways, "g.gateway_id"};
      return device ? Column{Table::kDevices, "d.gateway_id"} : Column{Table::kComponents, "c.gateway_id"};
    case Field::kKind:
      return {Table::kGateways, "g.kind"};
    case Field::kDisplayName:
      return {Table::kGateways, "(g.display_name COLLATE \"C\")"};
    case Field::kLastManifestTime:
      return {Table::kGateways, "g.last_manifest_at", true, "g.manifest_slot"};
    case Field::kDevice:
      return device ? Column{Table::kDevices, "d.device_id"} : Column{Table::kComponents, "c.device_id"};
    case Field::kManufacturer:
      return device ? Column{Table::kDevices, "d.manufacturer"}
                    : Column{Table::kComponents, "c.manufacturer"};
    case Field::kModel:
      return device ? Column{Table::kDevices, "(d.model COLLATE \"C\")"}
                    : Column{Table::kComponents, "c.model"};
    case Field::kHardwareVersion:
      return {Table::kDevices, "(d.hardware_version COLLATE \"C\")"};
    case Field::kAppId:
      return {Table::kDevices, "(d.app_id COLLATE \"C\")"};
    case Field::kAppIdStatus:
      return {Table::kDevices, "d.app_id_status"};
    case Field::kCreateTime:
      return resource == Resource::kGateway ? Column{Table::kGateways, "g.created_at"}
                                            : Column{Table::kDevices, "d.created_at"};
    case Field::kEcuSerial:
      return {Table::kComponents, "c.ecu_serial"};
    case Field::kHardwareId:
      return {Table::kComponents, "c.hardware_id"};
    case Field::kConstrained:
      return {Table::kComponents, "(c.public_key_pem = '')"};
    case Field::kState:
      return {Table::kComponents, "c.state"};
    case Field::kStateReason:
      return {Table::kComponents, "(c.state_reason COLLATE \"C\")"};
    case Field::kImageVerdict:
      return {Table::kComponents, "c.image_verdict"};
    case Field::kVersion:
      return {Table::kComponents, "c.image_version", true, "c.version_key"};
    case Field::kSha256:
      return {Table::kComponents, "(c.image_sha256 COLLATE \"C\")", true};
    case Field::kTargetPath:
      return {Table::kComponents, "(c.image_path COLLATE \"C\")", true};
    case Field::kReleaseCounter:
      return {Table::kComponents, "c.image_release_counter", true};
    case Field::kReportTime:
      return {Table::kComponents, "c.reported_at", true, "c.report_slot"};
    case Field::kFirstReportTime:
      return {Table::kComponents, "c.first_reported_at", true};
    case Field::kRefusedReports:
      return {Table::kComponents, "c.refused_reports"};
    case Field::kFailureCount:
      return {Table::kComponents, "c.failure_count"};
    case Field::kAttacksDetected:
      return {Table::kComponents, "(c.attacks_detected COLLATE \"C\")"};
    case Field::kApprovalResult:
      return {Table::kComponents, "(c.approval_result COLLATE \"C\")"};
    case Field::kStopped:
      return {Table::kComponents, "c.stopped"};
    case Field::kTags:
      if (resource == Resource::kGateway) return {Table::kGateways, "g.tags"};
      return device ? Column{Table::kDevices, "d.tags"} : Column{Table::kComponents, "c.tags"};
  }
  return {};
}

const char* SignOf(Op op) {
  switch (op) {
    case Op::kLess:
      return " < ";
    case Op::kLessOrEqual:
      return " <= ";
    case Op::kGreater:
      return " > ";
    case Op::kGreaterOrEqual:
      return " >= ";
    default:
      return " = ";
  }
}

// The leading numbers of "1.2." and "1.2.b": a version that begins so has a key that begins so, and only the
// key has an index.
std::optional<std::string> KeyOfLeadingNumbers(const std::string& text) {
  size_t end = std::string::npos;
  for (size_t i = 1; i < text.size(); ++i) {
    const bool number_before = absl::ascii_isdigit(static_cast<unsigned char>(text[i - 1]));
    if (text[i] == '.' && number_before) {
      end = i;
    } else if (!absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) {
      break;
    }
  }
  if (end == std::string::npos) return std::nullopt;
  std::optional<std::string> key = VersionSortKey(text.substr(0, end));
  if (key.has_value()) key->resize(key->size() - 2);  // the end of the numbers, and of the suffix
  return key;
}

class Compiler {
 public:
  Compiler(Resource resource, Parameters& parameters) : resource_(resource), parameters_(parameters) {}

  // Negations go down to the terms, where NULL can be told from false: above them nothing turns it over.
  std::string Compile(const Expression& expression, bool negated) {
    switch (expression.kind) {
      case Expression::Kind::kNot:
        return Compile(expression.children.front(), !negated);
      case Expression::Kind::kTerm:
        return CompileTerm(expression.term, negated);
      case Expression::Kind::kSearch: {
        std::vector<std::string> terms;
        for (const Term& term : domain::SearchTerms(resource_, expression.term)) {
          terms.push_back(CompileTerm(term, negated));
        }
        return Joined(terms, negated);
      }
      case Expression::Kind::kAnd:
      case Expression::Kind::kOr: {
        const bool all = (expression.kind == Expression::Kind::kAnd) != negated;
        std::vector<std::string> children;
        std::map<Field, std::set<int64_t>> remaining;
        for (const Expression& child : expression.children) {
          if (!all || !Narrow(child, negated, remaining)) children.push_back(Compile(child, negated));
        }
        for (const auto& [field, numbers] : remaining) children.push_back(OneOf(field, numbers));
        return Joined(children, all);
      }
    }
    return "false";
  }

 private:
  static std::string Joined(const std::vector<std::string>& conditions, bool all) {
    if (conditions.empty()) return all ? "true" : "false";
    return absl::StrCat("(", absl::StrJoin(conditions, all ? " AND " : " OR "), ")");
  }

  // Of an enum of the resource's own row, whether `child` only takes values away; then `remaining` has the
  // rest. What is left is named, because only so can the planner see that VERIFIED and PROXIED excluded leave
  // those in trouble, of which there is an index.
  bool Narrow(const Expression& child, bool negated, std::map<Field, std::set<int64_t>>& remaining) const {
    if (child.kind == Expression::Kind::kNot) return Narrow(child.children.front(), !negated, remaining);
    if (child.kind != Expression::Kind::kTerm || child.term.op != Op::kEquals) return false;
    const domain::FieldInfo& info = domain::InfoOf(child.term.field);
    if (info.type != FieldType::kEnum || !IsOwn(ColumnOf(info.field, resource_).table)) return false;
    const auto [numbers, first] = remaining.try_emplace(info.field);
    if (first) {
      for (const domain::EnumValue& value : info.values) numbers->second.insert(value.number);
    }
    std::erase_if(numbers->second, [&](int64_t number) { return (number == child.term.number) == negated; });
    return true;
  }

  std::string OneOf(Field field, const std::set<int64_t>& numbers) {
    if (numbers.empty()) return "false";
    return absl::StrCat(ColumnOf(field, resource_).sql, " IN (",
                        absl::StrJoin(numbers, ", ",
                                      [this](std::string* out, int64_t number) {
                                        absl::StrAppend(out, parameters_.Bind(absl::StrCat(number)));
                                      }),
                        ")");
  }

  std::string CompileTerm(const Term& term, bool negated) {
    const Column column = ColumnOf(term.field, resource_);
    if (IsOwn(column.table)) return OnColumn(term, column, negated);
    const char alias = resource_ == Resource::kDevice ? 'd' : 'c';
    const std::string condition = OnColumn(term, column, false);
    if (column.table == Table::kGateways) {
      return absl::StrCat(negated ? "NOT " : "",
                          "EXISTS (SELECT FROM gateways g WHERE g.gateway_id = ", std::string(1, alias),
                          ".gateway_id AND ", condition, ")");
    }
    return absl::StrCat(negated ? "NOT " : "",
                        "EXISTS (SELECT FROM devices d WHERE d.gateway_id = c.gateway_id AND d.device_id = "
                        "c.device_id AND ",
                        condition, ")");
  }

  bool IsOwn(Table table) const {
    switch (resource_) {
      case Resource::kGateway:
        return table == Table::kGateways;
      case Resource::kDevice:
        return table == Table::kDevices;
      case Resource::kComponent:
        return table == Table::kComponents;
    }
    return false;
  }

  std::string OnColumn(const Term& term, const Column& column, bool negated) {
    const std::string condition = Positive(term, column);
    return negated ? absl::StrCat("(", condition, ") IS NOT TRUE") : condition;
  }

  std::string Positive(const Term& term, const Column& column) {
    switch (domain::InfoOf(term.field).type) {
      case FieldType::kText:
        return Text(term, column);
      case FieldType::kVersion:
        return Version(term, column);
      case FieldType::kEnum:
      case FieldType::kNumber:
        if (term.op == Op::kPresent) return absl::StrCat(column.sql, " IS NOT NULL");
        return absl::StrCat(column.sql, SignOf(term.op), parameters_.Bind(absl::StrCat(term.number)));
      case FieldType::kFlag:
        if (term.op == Op::kPresent) return "true";
        return absl::StrCat(column.sql, " = ", parameters_.Bind(term.number == 0 ? "f" : "t"), "::boolean");
      case FieldType::kTime:
        return Time(term, column);
      case FieldType::kTags:
        return Tag(term, column);
    }
    return "false";
  }

  std::string Text(const Term& term, const Column& column) {
    if (term.op == Op::kPresent) return absl::StrCat(column.sql, " <> ''");
    if (term.text.empty()) return "false";  // nothing has an empty value
    return absl::StrCat(column.sql, term.op == Op::kBeginsWith ? " ^@ " : " = ", parameters_.Bind(term.text));
  }

  std::string Version(const Term& term, const Column& column) {
    if (term.op == Op::kBeginsWith) {
      const std::string text = Text(term, column);
      const std::optional<std::string> key = KeyOfLeadingNumbers(term.text);
      if (!key.has_value()) return text;
      return absl::StrCat("(", column.helper, " ^@ ", parameters_.Bind(*key), " AND ", text, ")");
    }
    const std::optional<std::string> key = VersionSortKey(term.text);
    if (term.op == Op::kPresent) return Text(term, column);
    // What is no version has no key, and equals only what has none.
    if (!key.has_value()) return absl::StrCat("(", column.helper, " IS NULL AND ", Text(term, column), ")");
    return absl::StrCat(column.helper, SignOf(term.op), parameters_.Bind(*key));
  }

  std::string Time(const Term& term, const Column& column) {
    if (term.op == Op::kPresent) return absl::StrCat(column.sql, " IS NOT NULL");
    const std::string time = parameters_.Bind(db::Timestamp(term.time));
    const std::string exact = absl::StrCat(column.sql, SignOf(term.op), time, "::timestamptz");
    if (column.helper == nullptr) return exact;
    // The slot only narrows: at its edge the time itself decides.
    const char* sign = term.op == Op::kLess ? " <= " : term.op == Op::kGreater ? " >= " : SignOf(term.op);
    return absl::StrCat("(", column.helper, sign, "time_slot(", time, "::timestamptz) AND ", exact, ")");
  }

  std::string Tag(const Term& term, const Column& column) {
    const std::string key = parameters_.Bind(term.key);
    const std::string present = absl::StrCat(column.sql, " ? ", key);
    if (term.op == Op::kPresent) return present;
    const std::string text = parameters_.Bind(term.text);
    if (term.op == Op::kBeginsWith) {
      return absl::StrCat("(", present, " AND (", column.sql, " ->> ", key, ") ^@ ", text, ")");
    }
    return absl::StrCat(column.sql, " @> jsonb_build_object(", key, "::text, ", text, "::text)");
  }

  const Resource resource_;
  Parameters& parameters_;
};

}  // namespace

std::string Parameters::Bind(std::string value) {
  values_.push_back(std::move(value));
  return absl::StrCat("$", values_.size());
}

std::string FilterCondition(const domain::Filter& filter, Parameters& parameters) {
  return Compiler(filter.resource, parameters).Compile(filter.expression, false);
}

std::string GroupExpression(Field field, std::string* join) {
  const Column column = ColumnOf(field, Resource::kComponent);
  if (column.table == Table::kGateways) {
    absl::StrAppend(join, absl::StrContains(*join, "gateways") ? "" : " JOIN gateways g USING (gateway_id)");
  } else if (column.table == Table::kDevices) {
    absl::StrAppend(
        join, absl::StrContains(*join, "devices") ? "" : " JOIN devices d USING (gateway_id, device_id)");
  }
  return absl::StrCat("COALESCE((", column.sql, ")::text, '')");
}

}  // namespace countersign::inventory
