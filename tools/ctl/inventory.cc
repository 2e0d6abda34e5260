// inventory: who runs what, of the whole fleet, and the fleet as a file.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/errors.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "google/protobuf/util/time_util.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/fleet_file.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::inventory::v1;
using v1::InventoryService;
using Stub = InventoryService::Stub;

constexpr char kFilterHelp[] =
    "what to select, e.g. 'manufacturer = acme AND version < 2.0.1 AND last_report < -24h'; `explain` tells "
    "how it is read";
constexpr int kPageSize = 1000;
constexpr int kBatch = 500;  // as ImportBatch allows

const std::vector<Column>& ComponentColumns() {
  static const auto& columns = *new std::vector<Column>{
      {"COMPONENT", "name"},       {"MANUFACTURER", "manufacturer"}, {"MODEL", "model"},
      {"HARDWARE", "hardware_id"}, {"VERSION", "installed.version"}, {"STATE", "state"},
      {"REASON", "state_reason"},  {"FAILURES", "failure_count"},    {"REPORTED", "report_time"}};
  return columns;
}

template <typename Row>
void PrintRows(Session& session, const std::vector<Row>& rows, const std::vector<Column>& columns) {
  std::vector<const google::protobuf::Message*> messages;
  for (const Row& row : rows) messages.push_back(&row);
  session.PrintTable(messages, columns);
}

// How far something is that has no known end, on stderr: on a terminal only.
class Counter {
 public:
  Counter() : terminal_(isatty(STDERR_FILENO) != 0) {}
  ~Counter() {
    if (shown_) std::fputs("\n", stderr);
  }
  void Show(const std::string& text) {
    if (!terminal_) return;
    shown_ = true;
    std::fprintf(stderr, "\r%s", text.c_str());
  }

 private:
  const bool terminal_;
  bool shown_ = false;
};

void AddList(CLI::App& group, Session& session) {
  struct List {
    v1::ListComponentsRequest request;
    int limit = 1000;
  };
  auto list = std::make_shared<List>();
  CLI::App* verb = session.AddVerb(
      group, "list", "List the components that a filter selects", [&session, list]() -> absl::Status {
        ASSIGN_OR_RETURN(auto stub, MakeStub<InventoryService>(session, "inventory"));
        std::vector<v1::Component> rows;
        do {
          list->request.set_page_size(std::min<int>(kPageSize, list->limit - static_cast<int>(rows.size())));
          ASSIGN_OR_RETURN(v1::ListComponentsResponse page,
                           Call(session, *stub, &Stub::ListComponents, list->request));
          for (v1::Component& component : *page.mutable_components()) rows.push_back(std::move(component));
          list->request.set_page_token(page.next_page_token());
        } while (!list->request.page_token().empty() && static_cast<int>(rows.size()) < list->limit);
        PrintRows(session, rows, ComponentColumns());
        if (!list->request.page_token().empty()) {
          std::cerr << "There are more: --limit shows them, and `count` says how many.\n";
        }
        return absl::OkStatus();
      });
  verb->add_option("--filter", *list->request.mutable_filter(), kFilterHelp);
  verb->add_option("--order-by", *list->request.mutable_order_by(),
                   "report_time, version, failure_count or refused_reports; with ' desc' the greatest first");
  verb->add_option("--limit", list->limit, "at most this many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
}

void AddCount(CLI::App& group, Session& session) {
  struct Count {
    std::string filter;
    std::vector<std::string> by;
  };
  auto count = std::make_shared<Count>();
  CLI::App* verb = session.AddVerb(
      group, "count", "Count the components that a filter selects", [&session, count]() -> absl::Status {
        v1::CountComponentsRequest request;
        request.set_filter(count->filter);
        for (const std::string& field : count->by) request.add_group_by(field);
        ASSIGN_OR_RETURN(auto stub, MakeStub<InventoryService>(session, "inventory"));
        ASSIGN_OR_RETURN(const v1::CountComponentsResponse counts,
                         Call(session, *stub, &Stub::CountComponents, request));
        if (session.json()) {
          session.Print(counts);
          return absl::OkStatus();
        }
        std::vector<size_t> widths;
        for (const std::string& field : count->by) widths.push_back(field.size());
        for (const v1::ComponentCount& row : counts.groups()) {
          for (int i = 0; i < row.values_size(); ++i) widths[i] = std::max(widths[i], row.values(i).size());
        }
        const auto print = [&](const auto& values, absl::string_view number, bool header) {
          for (int i = 0; i < static_cast<int>(widths.size()); ++i) {
            std::string cell = header ? absl::AsciiStrToUpper(values[i]) : std::string(values[i]);
            cell.resize(widths[i] + 2, ' ');
            std::cout << cell;
          }
          std::cout << number << "\n";
        };
        if (!count->by.empty()) {
          print(count->by, "COMPONENTS", true);
          for (const v1::ComponentCount& row : counts.groups())
            print(row.values(), absl::StrCat(row.count()), false);
          std::cout << "\n";
        }
        std::cout << counts.total() << (count->by.empty() ? "" : " in all")
                  << (counts.truncated() ? ", in more groups than these" : "") << "\n";
        return absl::OkStatus();
      });
  verb->add_option("--filter", count->filter, kFilterHelp);
  verb->add_option(
          "--by", count->by,
          "fields to count by, at most three: manufacturer, model, version, state, reason, kind, ...")
      ->delimiter(',');
}

void AddExplain(CLI::App& group, Session& session) {
  auto request = std::make_shared<v1::ExplainFilterRequest>();
  CLI::App* verb =
      session.AddVerb(group, "explain", "How a filter is understood and answered", [&session, request] {
        return CallAndPrint<InventoryService>(session, "inventory", &Stub::ExplainFilter, *request);
      });
  verb->add_option("filter", *request->mutable_filter(), kFilterHelp)->required();
}

void AddShow(CLI::App& group, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* verb = session.AddVerb(
      group, "show", "Show a gateway, a device or a component", [&session, name]() -> absl::Status {
        if (absl::StrContains(*name, "/devices/")) {
          v1::GetDeviceRequest request;
          request.set_name(*name);
          return CallAndPrint<InventoryService>(session, "inventory", &Stub::GetDevice, request);
        }
        if (absl::StartsWith(*name, "gateways/") && !absl::StrContains(*name, "/components/")) {
          v1::GetGatewayRequest request;
          request.set_name(*name);
          return CallAndPrint<InventoryService>(session, "inventory", &Stub::GetGateway, request);
        }
        v1::ListComponentsRequest request;
        std::string quoted;
        for (const char c : *name)
          absl::StrAppend(&quoted, c == '"' || c == '\\' || c == '*' ? "\\" : "", std::string(1, c));
        request.set_filter(absl::StrCat("ecu_serial = \"", quoted, "\""));
        ASSIGN_OR_RETURN(auto stub, MakeStub<InventoryService>(session, "inventory"));
        ASSIGN_OR_RETURN(const v1::ListComponentsResponse found,
                         Call(session, *stub, &Stub::ListComponents, request));
        if (found.components().empty()) {
          return Error(absl::StatusCode::kNotFound, "COMPONENT_UNKNOWN",
                       absl::StrCat("No component ", *name,
                                    " is provisioned. Names: gateways/{gateway}, "
                                    "gateways/{gateway}/devices/{device}, or a component's serial number."));
        }
        // Behind a gateway that it was moved away from it is RETIRED.
        const auto last = std::max_element(found.components().begin(), found.components().end(),
                                           [](const auto& a, const auto& b) {
                                             return (a.state() != v1::Component::STATE_RETIRED) <
                                                    (b.state() != v1::Component::STATE_RETIRED);
                                           });
        session.Print(*last);
        return absl::OkStatus();
      });
  verb->add_option("name", *name,
                   "gateways/{gateway}[/devices/{device}], or a component's name or serial number")
      ->required();
}

void AddHistory(CLI::App& group, Session& session) {
  auto request = std::make_shared<v1::ListComponentHistoryRequest>();
  CLI::App* verb =
      session.AddVerb(group, "history", "What a component was and ran, newest first", [&session, request] {
        return ListAndPrint<InventoryService>(session, "inventory", &Stub::ListComponentHistory, *request,
                                              &v1::ListComponentHistoryResponse::changes,
                                              {{"TIME", "time"},
                                               {"CAUSE", "cause"},
                                               {"WHO", "actor"},
                                               {"GATEWAY", "gateway"},
                                               {"STATE", "state"},
                                               {"REASON", "state_reason"},
                                               {"VERSION", "installed.version"},
                                               {"IMAGE", "image_verdict"},
                                               {"NOTE", "note"}});
      });
  verb->add_option("component", *request->mutable_parent(), "gateways/{gateway}/components/{ecu_serial}")
      ->required();
}

void AddWatch(CLI::App& group, Session& session) {
  struct Watch {
    std::string token;
    int64_t count = 0;
  };
  auto watch = std::make_shared<Watch>();
  CLI::App* verb = session.AddVerb(
      group, "watch", "Tell changes of components as they happen, until interrupted",
      [&session, watch]() -> absl::Status {
        ASSIGN_OR_RETURN(auto stub, MakeStub<InventoryService>(session, "inventory"));
        grpc::ClientContext context;
        context.set_wait_for_ready(false);
        v1::WatchComponentsRequest request;
        request.set_resume_token(watch->token);
        const auto reader = stub->WatchComponents(&context, request);
        v1::WatchComponentsResponse change;
        int64_t told = 0;
        while (reader->Read(&change)) {
          if (session.json()) {
            session.Print(change);
          } else {
            const v1::Component& component = change.component();
            std::cout << google::protobuf::util::TimeUtil::ToString(change.change_time()) << "  "
                      << component.name() << "  " << v1::Component::State_Name(component.state()) << "  "
                      << component.installed().version() << "  " << component.state_reason() << "\n";
          }
          std::cout.flush();
          if (++told == watch->count) {
            context.TryCancel();
            (void)reader->Finish();
            return absl::OkStatus();
          }
        }
        return rpc::FromGrpc(reader->Finish());
      });
  verb->add_option("--resume", watch->token,
                   "token of the last change that was dealt with; without it all that are kept");
  verb->add_option("--count", watch->count, "end after this many");
}

// Lists that are read a page at a time: what is in hand, and what comes next.
template <typename Request, typename Response, typename Row>
class Pages {
 public:
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);
  using Rows = const google::protobuf::RepeatedPtrField<Row>& (Response::*)() const;

  Pages(Session& session, Stub& stub, Method method, Rows rows, Request request)
      : session_(session), stub_(stub), method_(method), rows_(rows), request_(std::move(request)) {
    request_.set_page_size(kPageSize);
  }

  // The next row, which stays until Take(); null at the end.
  absl::StatusOr<const Row*> Peek() {
    while (next_ == (page_.*rows_)().size()) {
      if (started_ && page_.next_page_token().empty()) return nullptr;
      request_.set_page_token(page_.next_page_token());
      ASSIGN_OR_RETURN(page_, Call(session_, stub_, method_, request_));
      started_ = true;
      next_ = 0;
    }
    return &(page_.*rows_)()[next_];
  }
  void Take() { ++next_; }

 private:
  Session& session_;
  Stub& stub_;
  const Method method_;
  const Rows rows_;
  Request request_;
  Response page_;
  bool started_ = false;
  int next_ = 0;
};

FleetFormat FormatOf(const std::string& name) {
  return name == "csv" ? FleetFormat::kCsv : FleetFormat::kJsonLines;
}

absl::Status Export(Session& session, FleetFormat format, std::ostream& out) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<InventoryService>(session, "inventory"));
  v1::ListDevicesRequest all;
  all.set_parent("gateways/-");
  Pages<v1::ListGatewaysRequest, v1::ListGatewaysResponse, v1::Gateway> gateways(
      session, *stub, &Stub::ListGateways, &v1::ListGatewaysResponse::gateways, {});
  Pages<v1::ListDevicesRequest, v1::ListDevicesResponse, v1::Device> devices(
      session, *stub, &Stub::ListDevices, &v1::ListDevicesResponse::devices, all);
  const std::unique_ptr<FleetWriter> writer = NewFleetWriter(format, out);
  Counter counter;
  int64_t gateway_count = 0, device_count = 0;
  // Both are in the order of the gateways' ids.
  while (true) {
    ASSIGN_OR_RETURN(const v1::Gateway* gateway, gateways.Peek());
    if (gateway == nullptr) break;
    writer->Gateway(*gateway);
    const std::string prefix = absl::StrCat(gateway->name(), "/devices/");
    while (true) {
      ASSIGN_OR_RETURN(const v1::Device* device, devices.Peek());
      // Of a gateway that was provisioned since the gateways were read, which is not in this export.
      const bool passed =
          device != nullptr && !absl::StartsWith(device->name(), prefix) &&
          absl::string_view(device->name()).substr(0, device->name().find("/devices/")) < gateway->name();
      if (device == nullptr || (!passed && !absl::StartsWith(device->name(), prefix))) break;
      if (!passed) {
        writer->Device(*device);
        ++device_count;
      }
      devices.Take();
    }
    gateways.Take();
    if (++gateway_count % kPageSize == 0) {
      counter.Show(absl::StrCat("exported ", gateway_count, " gateways, ", device_count, " devices"));
      if (!out) break;
    }
  }
  writer->End();
  if (!out)
    return Error(absl::StatusCode::kUnavailable, "WRITE_FAILED",
                 "the export cannot be written: is the disk full?");
  counter.Show(absl::StrCat("exported ", gateway_count, " gateways, ", device_count, " devices"));
  return absl::OkStatus();
}

void AddExport(CLI::App& group, Session& session) {
  struct Flags {
    std::string format = "jsonl";
    std::string out = "-";
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = session.AddVerb(group, "export", "Write all gateways and devices to a file",
                                   [&session, flags]() -> absl::Status {
                                     if (flags->out == "-")
                                       return Export(session, FormatOf(flags->format), std::cout);
                                     std::ofstream file(flags->out, std::ios::binary | std::ios::trunc);
                                     if (!file)
                                       return Error(absl::StatusCode::kInvalidArgument, "FILE_UNWRITABLE",
                                                    absl::StrCat(flags->out, " cannot be written"));
                                     return Export(session, FormatOf(flags->format), file);
                                   });
  verb->add_option("--format", flags->format, "jsonl or csv")
      ->capture_default_str()
      ->check(CLI::IsMember({"jsonl", "csv"}));
  verb->add_option("--out", flags->out, "the file; - is standard output")->capture_default_str();
}

class Import {
 public:
  Import(Session& session, Stub& stub, bool dry_run) : session_(session), stub_(stub), dry_run_(dry_run) {}

  absl::Status Run(FleetReader& reader, std::istream& in, int64_t bytes) {
    Progress progress(dry_run_ ? "checking" : "importing", bytes);
    while (true) {
      absl::StatusOr<std::optional<FleetEntry>> entry = reader.Next();
      if (!entry.ok()) {
        // What can be told of the rest is told; what is not understood stops a real import, after what stands
        // before it.
        ++malformed_;
        if (!dry_run_ || !reader.can_go_on()) {
          RETURN_IF_ERROR(Send());
          Sum();
          return entry.status();
        }
        std::cerr << entry.status().message() << "\n";
        continue;
      }
      if (!entry->has_value()) break;
      Add(**std::move(entry));
      if (lines_.size() == kBatch) {
        RETURN_IF_ERROR(Send());
        if (const std::streamoff at = in.tellg(); bytes > 0 && at >= 0) progress.Show(at);
      }
    }
    RETURN_IF_ERROR(Send());
    if (bytes > 0) progress.Show(bytes);
    Sum();
    if (malformed_ > 0) {
      return Error(absl::StatusCode::kInvalidArgument, "FLEET_FILE_INVALID",
                   absl::StrCat(malformed_, " lines of the file cannot be read"));
    }
    if (total_.refused() == 0) return absl::OkStatus();
    return Error(
        absl::StatusCode::kFailedPrecondition, "IMPORT_INCOMPLETE",
        absl::StrCat(total_.refused(), " gateways and devices ", dry_run_ ? "would be" : "were", " refused"));
  }

 private:
  void Add(FleetEntry entry) {
    // Within a batch gateways come first: so that the order stays that of the file, a gateway begins a new
    // one.
    lines_.push_back({entry.line, std::holds_alternative<v1::Device>(entry.value)});
    if (lines_.back().device) {
      *batch_.add_devices() = std::move(std::get<v1::Device>(entry.value));
    } else {
      *batch_.add_gateways() = std::move(std::get<v1::Gateway>(entry.value));
    }
  }

  // A stream of its own for each batch: what it answers is done, also when a later one fails.
  absl::Status Send() {
    if (lines_.empty()) return absl::OkStatus();
    rpc::CallContext context(session_.timeout());
    v1::ImportFleetResponse response;
    const auto writer = stub_.ImportFleet(context.get(), &response);
    v1::ImportFleetRequest request;
    request.mutable_header()->set_dry_run(dry_run_);
    request.mutable_header()->set_list_outcomes(true);
    bool open = writer->Write(request);
    request.mutable_batch()->Swap(&batch_);
    open = open && writer->Write(request);
    if (open) writer->WritesDone();
    if (const absl::Status status = rpc::FromGrpc(writer->Finish()); !status.ok()) {
      return Annotate(status, absl::StrCat("lines ", lines_.front().line, " to ", lines_.back().line,
                                           " were not imported; the same command goes on from there"));
    }
    // The answer has the gateways of the batch first.
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const Line& a, const Line& b) { return a.device < b.device; });
    std::vector<std::pair<int64_t, std::string>> told;
    for (int i = 0; i < response.outcomes_size() && i < static_cast<int>(lines_.size()); ++i) {
      if (const std::string text = Told(response.outcomes(i)); !text.empty())
        told.emplace_back(lines_[i].line, text);
    }
    std::sort(told.begin(), told.end());
    for (const auto& [line, text] : told) {
      (session_.json() ? std::cerr : std::cout) << "line " << line << ": " << text << "\n";
    }
    total_.set_gateways_created(total_.gateways_created() + response.gateways_created());
    total_.set_devices_created(total_.devices_created() + response.devices_created());
    total_.set_components_created(total_.components_created() + response.components_created());
    total_.set_unchanged(total_.unchanged() + response.unchanged());
    total_.set_refused(total_.refused() + response.refused());
    for (const v1::ImportProblem& problem : response.problems()) {
      if (total_.problems_size() < 100) *total_.add_problems() = problem;
    }
    batch_.Clear();
    lines_.clear();
    return absl::OkStatus();
  }

  // Empty for what is not worth a line.
  std::string Told(const v1::ImportOutcome& outcome) const {
    switch (outcome.result()) {
      case v1::ImportOutcome::RESULT_CREATED:
        return dry_run_ ? absl::StrCat(outcome.name(), " would be created") : "";
      case v1::ImportOutcome::RESULT_REFUSED:
        return absl::StrCat(outcome.name(),
                            dry_run_ ? " would be refused: " : " was refused: ", outcome.message(), " (",
                            outcome.reason(), ")");
      default:
        return "";
    }
  }

  void Sum() const {
    if (session_.json()) {
      session_.Print(total_);
      return;
    }
    session_.Say(absl::StrCat(dry_run_ ? "Would create " : "Created ", total_.gateways_created(),
                              " gateways and ", total_.devices_created(), " devices with ",
                              total_.components_created(), " components; ", total_.unchanged(),
                              " are there and the same; ", total_.refused(),
                              dry_run_ ? " would be refused." : " were refused."));
  }

  struct Line {
    int64_t line;
    bool device;
  };

  Session& session_;
  Stub& stub_;
  const bool dry_run_;
  v1::ImportBatch batch_;
  std::vector<Line> lines_;  // of what is in the batch
  v1::ImportFleetResponse total_;
  int64_t malformed_ = 0;
};

void AddImport(CLI::App& group, Session& session) {
  struct Flags {
    std::string format = "jsonl";
    std::string file;
    bool dry_run = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = session.AddVerb(
      group, "import", "Create the gateways and devices of a file that are not there",
      [&session, flags]() -> absl::Status {
        ASSIGN_OR_RETURN(auto stub, MakeStub<InventoryService>(session, "inventory"));
        std::ifstream file;
        const bool standard = flags->file == "-";
        int64_t bytes = 0;
        if (!standard) {
          file.open(flags->file, std::ios::binary | std::ios::ate);
          if (!file) {
            return Error(absl::StatusCode::kInvalidArgument, "FILE_UNREADABLE",
                         absl::StrCat(flags->file, " cannot be read"));
          }
          bytes = static_cast<int64_t>(file.tellg());
          file.seekg(0);
        }
        std::istream& in = standard ? std::cin : file;
        const std::unique_ptr<FleetReader> reader = NewFleetReader(FormatOf(flags->format), in);
        return Import(session, *stub, flags->dry_run).Run(*reader, in, bytes);
      });
  verb->add_option("file", flags->file, "as `export` writes it; - is standard input")->required();
  verb->add_option("--format", flags->format, "jsonl or csv")
      ->capture_default_str()
      ->check(CLI::IsMember({"jsonl", "csv"}));
  verb->add_flag("--dry-run", flags->dry_run, "change nothing, and tell what would be changed, line by line");
}

}  // namespace

void AddInventoryCommands(CLI::App& app, Session& session) {
  CLI::App& group =
      *app.add_subcommand("inventory", "Who runs what, in the whole fleet; the fleet as a file");
  group.require_subcommand(1);
  AddList(group, session);
  AddCount(group, session);
  AddExplain(group, session);
  AddShow(group, session);
  AddHistory(group, session);
  AddWatch(group, session);
  AddExport(group, session);
  AddImport(group, session);
}

}  // namespace countersign::ctl
