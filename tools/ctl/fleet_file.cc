#include "tools/ctl/fleet_file.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/message_differencer.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"
#include "tools/ctl/csv.h"

namespace countersign::ctl {

const char kFleetCsvColumns[] =
    "gateway,kind,display_name,gateway_key,gateway_proxy_key,gateway_tags,device,manufacturer,model,hardware_"
    "version,app_id,"
    "device_tags,ecu_serial,hardware_id,component_key,constrained,factory_sha256,state,state_reason,version,"
    "report_time";

namespace {

namespace v1 = inventory::v1;
using google::protobuf::util::MessageDifferencer;

constexpr size_t kMaxLineBytes = 1 << 20;

absl::Status Invalid(int64_t line, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "FLEET_FILE_INVALID",
               absl::StrCat("line ", line, ": ", what));
}

std::string JsonOf(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text;
}

class JsonLinesWriter : public FleetWriter {
 public:
  explicit JsonLinesWriter(std::ostream& out) : out_(out) {}
  void Gateway(const v1::Gateway& gateway) override { out_ << "{\"gateway\":" << JsonOf(gateway) << "}\n"; }
  void Device(const v1::Device& device) override { out_ << "{\"device\":" << JsonOf(device) << "}\n"; }
  void End() override { out_.flush(); }

 private:
  std::ostream& out_;
};

class JsonLinesReader : public FleetReader {
 public:
  explicit JsonLinesReader(std::istream& in) : in_(in) {}

  absl::StatusOr<std::optional<FleetEntry>> Next() override {
    std::string text;
    do {
      text.clear();
      if (!ReadLine(text)) return std::nullopt;
      if (too_long_) return Invalid(line_, "it is longer than 1 MiB");
    } while (absl::StripAsciiWhitespace(text).empty());
    const nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (parsed.is_discarded()) return Invalid(line_, "it is no JSON");
    if (!parsed.is_object() || parsed.size() != 1 ||
        !(parsed.contains("gateway") || parsed.contains("device"))) {
      return Invalid(line_, "expected {\"gateway\": {...}} or {\"device\": {...}}");
    }
    FleetEntry entry;
    entry.line = line_;
    const bool gateway = parsed.contains("gateway");
    if (!gateway) entry.value.emplace<v1::Device>();
    google::protobuf::Message& message =
        gateway ? static_cast<google::protobuf::Message&>(std::get<v1::Gateway>(entry.value))
                : std::get<v1::Device>(entry.value);
    const auto status = google::protobuf::util::JsonStringToMessage(parsed.begin()->dump(), &message);
    if (!status.ok()) {
      return Invalid(
          line_, absl::StrCat("no ", gateway ? "gateway" : "device", ": ", std::string(status.message())));
    }
    return entry;
  }

  bool can_go_on() const override { return true; }

 private:
  // Whether there was one. Of a line that is too long only the beginning is kept.
  bool ReadLine(std::string& text) {
    if (in_.peek() == std::char_traits<char>::eof()) return false;
    ++line_;
    too_long_ = false;
    for (int c = in_.get(); c != std::char_traits<char>::eof() && c != '\n'; c = in_.get()) {
      too_long_ = too_long_ || text.size() == kMaxLineBytes;
      if (!too_long_) text.push_back(static_cast<char>(c));
    }
    return true;
  }

  std::istream& in_;
  int64_t line_ = 0;
  bool too_long_ = false;
};

template <typename Tags>
std::string TagsText(const Tags& tags) {
  if (tags.empty()) return "";
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, value] : tags) json[name] = value;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string IdOf(const std::string& name) { return name.substr(name.rfind('/') + 1); }

class CsvWriter : public FleetWriter {
 public:
  explicit CsvWriter(std::ostream& out) : out_(out) { out_ << kFleetCsvColumns << "\r\n"; }

  void Gateway(const v1::Gateway& gateway) override {
    WriteLone();
    gateway_ = {
        IdOf(gateway.name()),           gateway.kind() == v1::Gateway::KIND_VEHICLE ? "VEHICLE" : "HOME",
        gateway.display_name(),         gateway.public_key_pem(),
        gateway.proxy_public_key_pem(), TagsText(gateway.tags())};
    lone_ = true;
  }

  void Device(const v1::Device& device) override {
    lone_ = false;
    for (const v1::Component& component : device.components()) {
      std::vector<std::string> fields = gateway_;
      std::string state = v1::Component::State_Name(component.state());
      state.erase(0, sizeof("STATE_") - 1);
      const std::string report_time =
          component.has_report_time() ? google::protobuf::util::TimeUtil::ToString(component.report_time())
                                      : "";
      for (std::string field :
           {IdOf(device.name()), device.manufacturer(), device.model(), device.hardware_version(),
            device.app_id(), TagsText(device.tags()), component.ecu_serial(), component.hardware_id(),
            component.public_key_pem(), std::string(component.constrained() ? "true" : "false"),
            component.factory_sha256(), state, component.state_reason(), component.installed().version(),
            report_time}) {
        fields.push_back(std::move(field));
      }
      WriteCsv(out_, fields);
    }
  }

  void End() override {
    WriteLone();
    out_.flush();
  }

 private:
  // A gateway that has no device.
  void WriteLone() {
    if (!lone_) return;
    std::vector<std::string> fields = gateway_;
    fields.resize(std::count(std::begin(kFleetCsvColumns), std::end(kFleetCsvColumns), ',') + 1);
    WriteCsv(out_, fields);
    lone_ = false;
  }

  std::ostream& out_;
  std::vector<std::string> gateway_;
  bool lone_ = false;
};

class FleetCsvReader : public FleetReader {
 public:
  explicit FleetCsvReader(std::istream& in) : csv_(in) {}

  // A gateway when a line is about another one than the line before, then its device once the next line is
  // about another.
  absl::StatusOr<std::optional<FleetEntry>> Next() override {
    while (ready_.empty()) {
      if (!broken_.ok()) return std::exchange(broken_, absl::OkStatus());
      if (ended_) return std::nullopt;
      if (absl::Status status = ReadRecord(); !status.ok()) {
        // What was read before it is whole.
        broken_ = std::move(status);
        FlushDevice();
      }
    }
    FleetEntry entry = std::move(ready_.front());
    ready_.erase(ready_.begin());
    return entry;
  }

  bool can_go_on() const override { return !malformed_; }

 private:
  absl::Status ReadHeader(const std::vector<std::string>& fields) {
    const std::vector<std::string> known = absl::StrSplit(kFleetCsvColumns, ',');
    for (size_t i = 0; i < fields.size(); ++i) {
      std::string name = fields[i];
      if (i == 0 && absl::StartsWith(name, "\xef\xbb\xbf")) name.erase(0, 3);  // as spreadsheets write it
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        malformed_ = true;
        return Invalid(1,
                       absl::StrCat("there is no column \"", name, "\"; the columns are ", kFleetCsvColumns));
      }
      columns_[name] = i;
    }
    for (const char* needed : {"gateway", "kind", "gateway_key", "device", "manufacturer", "model",
                               "hardware_version", "ecu_serial", "hardware_id", "component_key"}) {
      if (columns_.contains(needed)) continue;
      malformed_ = true;
      return Invalid(1, absl::StrCat("the column ", needed, " is missing"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadRecord() {
    absl::StatusOr<std::optional<std::vector<std::string>>> record = csv_.Next();
    if (!record.ok()) {
      malformed_ = ended_ = true;  // where the next record begins is not known
      return record.status();
    }
    if (!record->has_value()) {
      ended_ = true;
      if (columns_.empty()) {
        malformed_ = true;
        return Invalid(1, absl::StrCat("the first line has the columns' names: ", kFleetCsvColumns));
      }
      FlushDevice();
      return absl::OkStatus();
    }
    if (columns_.empty()) {
      absl::Status header = ReadHeader(**record);
      if (!header.ok()) ended_ = true;
      return header;
    }
    fields_ = *std::move(*record);
    if (fields_.size() == 1 && fields_[0].empty()) return absl::OkStatus();  // an empty line
    if (fields_.size() != columns_.size()) {
      return Invalid(csv_.line(),
                     absl::StrCat("it has ", fields_.size(), " fields and not ", columns_.size()));
    }
    return ReadRow();
  }

  std::string Field(const std::string& name) const {
    const auto column = columns_.find(name);
    return column == columns_.end() ? "" : fields_[column->second];
  }

  absl::Status ReadTags(const std::string& column,
                        google::protobuf::Map<std::string, std::string>& tags) const {
    const std::string text = Field(column);
    if (text.empty()) return absl::OkStatus();
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object())
      return Invalid(csv_.line(), absl::StrCat(column, ": expected {\"name\": \"value\", ...}"));
    for (const auto& [name, value] : json.items()) {
      if (!value.is_string())
        return Invalid(csv_.line(), absl::StrCat(column, ": the value of ", name, " is no text"));
      tags[name] = value.get<std::string>();
    }
    return absl::OkStatus();
  }

  absl::Status ReadRow() {
    v1::Gateway gateway;
    gateway.set_name(absl::StrCat("gateways/", Field("gateway")));
    if (Field("kind") != "HOME" && Field("kind") != "VEHICLE") {
      return Invalid(csv_.line(), "kind: expected HOME or VEHICLE");
    }
    gateway.set_kind(Field("kind") == "HOME" ? v1::Gateway::KIND_HOME : v1::Gateway::KIND_VEHICLE);
    gateway.set_display_name(Field("display_name"));
    gateway.set_public_key_pem(Field("gateway_key"));
    gateway.set_proxy_public_key_pem(Field("gateway_proxy_key"));
    RETURN_IF_ERROR(ReadTags("gateway_tags", *gateway.mutable_tags()));

    v1::Device device;
    device.set_name(absl::StrCat(gateway.name(), "/devices/", Field("device")));
    device.set_manufacturer(Field("manufacturer"));
    device.set_model(Field("model"));
    device.set_hardware_version(Field("hardware_version"));
    device.set_app_id(Field("app_id"));
    RETURN_IF_ERROR(ReadTags("device_tags", *device.mutable_tags()));
    v1::Component component;
    component.set_ecu_serial(Field("ecu_serial"));
    component.set_hardware_id(Field("hardware_id"));
    component.set_public_key_pem(Field("component_key"));
    component.set_factory_sha256(Field("factory_sha256"));
    const std::string constrained = Field("constrained");
    if (constrained != "" && constrained != "true" && constrained != "false") {
      return Invalid(csv_.line(), "constrained: expected true, false or nothing");
    }
    component.set_constrained(constrained == "true");

    if (!last_gateway_.has_value() || !MessageDifferencer::Equals(*last_gateway_, gateway)) {
      FlushDevice();
      last_gateway_ = gateway;
      ready_.push_back({csv_.line(), gateway});
    }
    if (Field("device").empty()) {
      FlushDevice();
      return absl::OkStatus();
    }
    if (device_.has_value()) {
      v1::Device head = *device_;
      head.clear_components();
      if (head.name() == device.name() && !MessageDifferencer::Equals(head, device)) {
        return Invalid(
            csv_.line(),
            absl::StrCat("device ", Field("device"),
                         " is another one than on the line before: all of its lines say the same of it"));
      }
      if (head.name() != device.name()) FlushDevice();
    }
    if (!device_.has_value()) {
      device_ = device;
      device_line_ = csv_.line();
    }
    *device_->add_components() = component;
    return absl::OkStatus();
  }

  void FlushDevice() {
    if (device_.has_value()) ready_.push_back({device_line_, *std::exchange(device_, std::nullopt)});
  }

  CsvReader csv_;
  std::map<std::string, size_t> columns_;
  std::vector<std::string> fields_;
  std::optional<v1::Gateway> last_gateway_;
  std::optional<v1::Device> device_;  // whose components are being read
  int64_t device_line_ = 0;
  std::vector<FleetEntry> ready_;
  absl::Status broken_;
  bool ended_ = false;
  bool malformed_ = false;
};

}  // namespace

std::unique_ptr<FleetWriter> NewFleetWriter(FleetFormat format, std::ostream& out) {
  if (format == FleetFormat::kCsv) return std::make_unique<CsvWriter>(out);
  return std::make_unique<JsonLinesWriter>(out);
}

std::unique_ptr<FleetReader> NewFleetReader(FleetFormat format, std::istream& in) {
  if (format == FleetFormat::kCsv) return std::make_unique<FleetCsvReader>(in);
  return std::make_unique<JsonLinesReader>(in);
}

}  // namespace countersign::ctl
