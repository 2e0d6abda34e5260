#include "tools/ctl/session.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/x509.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/rpc/flags.h"
#include "common/rpc/identity.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"

namespace countersign::ctl {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr const char* kServices[] = {"appid-registry", "consent",       "inventory",
                                     "liaison",        "package-store", "rollout"};

// "STATE_RUNNING" of enum State as "RUNNING".
std::string EnumText(const EnumDescriptor& type, const EnumValueDescriptor& value) {
  std::string prefix;
  for (char c : type.name()) {
    if (absl::ascii_isupper(c) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(c);
  }
  std::string text = std::string(absl::StripPrefix(value.name(), absl::StrCat(prefix, "_")));
  return text == "UNSPECIFIED" ? "-" : text;
}

std::string MessageText(const Message& message) {
  if (message.GetDescriptor()->full_name() == "google.protobuf.Timestamp") {
    google::protobuf::Timestamp time;
    time.CopyFrom(message);
    return google::protobuf::util::TimeUtil::ToString(time);
  }
  if (message.GetDescriptor()->full_name() == "google.protobuf.Duration") {
    google::protobuf::Duration duration;
    duration.CopyFrom(message);
    return google::protobuf::util::TimeUtil::ToString(duration);
  }
  return "";
}

// One value; `index` is -1 for a field that is not repeated.
std::string ValueText(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool repeated = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return (repeated ? reflection.GetRepeatedBool(message, &field, index)
                       : reflection.GetBool(message, &field))
                 ? "yes"
                 : "no";
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(repeated ? reflection.GetRepeatedInt32(message, &field, index)
                                   : reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(repeated ? reflection.GetRepeatedInt64(message, &field, index)
                                   : reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumText(*field.enum_type(), repeated ? *reflection.GetRepeatedEnum(message, &field, index)
                                                   : *reflection.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      const std::string& value = repeated
                                     ? reflection.GetRepeatedStringReference(message, &field, index, &scratch)
                                     : reflection.GetStringReference(message, &field, &scratch);
      if (field.type() == FieldDescriptor::TYPE_BYTES) return absl::StrCat("(", value.size(), " bytes)");
      return value;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageText(repeated ? reflection.GetRepeatedMessage(message, &field, index)
                                  : reflection.GetMessage(message, &field));
    default:
      return "";
  }
}

// The field at a dotted path, as a table shows it.
std::string FieldText(const Message& message, absl::string_view path) {
  const std::vector<std::string> parts = absl::StrSplit(path, absl::MaxSplits('.', 1));
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(parts[0]);
  if (field == nullptr) return "";
  const Reflection& reflection = *message.GetReflection();
  if (parts.size() == 2) {
    return reflection.HasField(message, field) ? FieldText(reflection.GetMessage(message, field), parts[1])
                                               : "-";
  }
  if (!field->is_repeated()) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !reflection.HasField(message, field))
      return "-";
    const std::string text = ValueText(message, *field, -1);
    return text.empty() ? "-" : text;
  }
  std::vector<std::string> values;
  for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
    values.push_back(ValueText(message, *field, i));
  }
  return values.empty() ? "-" : absl::StrJoin(values, ",");
}

void PrintFields(const Message& message, int indent, std::ostream& out) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  const std::string margin(indent, ' ');
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const int index = field->is_repeated() ? i : -1;
      const std::string text = ValueText(message, *field, index);
      out << margin << field->name() << ": " << text << "\n";
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && text.empty()) {
        PrintFields(index < 0 ? reflection.GetMessage(message, field)
                              : reflection.GetRepeatedMessage(message, field, i),
                    indent + 2, out);
      }
    }
  }
}

std::string ToJson(const Message& message, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : "{}\n";
}

absl::Status CannotUse(const std::string& file, const std::string& flag, const absl::Status& why) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_TLS_FILES",
               absl::StrCat(file, ", which ", flag, " names, cannot be used: ", why.message()));
}

// gRPC says of files that it cannot use only that a handshaker could not be made.
absl::Status CheckTlsFiles(const rpc::TlsOptions& tls) {
  const absl::StatusOr<std::string> certificate = ReadFile(tls.certificate_file);
  if (!certificate.ok()) return CannotUse(tls.certificate_file, "--tls-cert", certificate.status());
  if (const auto parsed = crypto::ParseCertificate(*certificate); !parsed.ok()) {
    return CannotUse(tls.certificate_file, "--tls-cert", parsed.status());
  }
  const absl::StatusOr<std::string> key = ReadFile(tls.key_file);
  if (!key.ok()) return CannotUse(tls.key_file, "--tls-key", key.status());
  if (const absl::Status fits = crypto::CheckKeyMatches(*certificate, *key); !fits.ok()) {
    return CannotUse(tls.key_file, "--tls-key", fits);
  }
  const absl::StatusOr<std::string> ca = ReadFile(tls.ca_file);
  if (!ca.ok()) return CannotUse(tls.ca_file, "--tls-ca", ca.status());
  if (const auto parsed = crypto::ParseCertificate(*ca); !parsed.ok()) {
    return CannotUse(tls.ca_file, "--tls-ca", parsed.status());
  }
  return absl::OkStatus();
}

// What came of a connection that was not made, in words that say what to do. gRPC has one code for a service
// that is down and one that is not who it should be, which a script must tell apart: only the first is worth
// another try.
absl::Status Explained(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return status;
  const std::string text(status.message());
  constexpr absl::string_view kOtherPeer = "Custom verification check failed with error: UNAUTHENTICATED: ";
  if (const size_t at = text.find(std::string(kOtherPeer)); at != std::string::npos) {
    return Error(absl::StatusCode::kUnauthenticated, "PEER_NOT_TRUSTED",
                 absl::StrCat("who answers is not the service that was asked for: ",
                              text.substr(at + kOtherPeer.size()),
                              ". Check --trust-domain and the service's address."));
  }
  if (absl::StrContains(text, "certificate verify failed")) {
    return Error(absl::StatusCode::kUnauthenticated, "PEER_NOT_TRUSTED",
                 absl::StrCat("the service's certificate is of no authority in the file that --tls-ca names, "
                              "or has expired: ",
                              text));
  }
  if (absl::StrContains(text, "Socket closed") || absl::StrContains(text, "Connection reset")) {
    return Error(absl::StatusCode::kUnavailable, "CONNECTION_CLOSED",
                 absl::StrCat("the service hung up: it stops, or it does not trust the certificate that "
                              "--tls-cert names (another authority's, or expired): ",
                              text));
  }
  if (absl::StrContains(text, "failed to connect") || absl::StrContains(text, "DNS resolution failed")) {
    return Error(absl::StatusCode::kUnavailable, "UNREACHABLE",
                 absl::StrCat("the service cannot be reached; check its address and that it runs: ", text));
  }
  return status;
}

}  // namespace

const char kExitStatusHelp[] =
    "Exit status: 0 done; 1 failed; 2 wrong command line; 3 not found; 4 not allowed, or not who the service "
    "trusts;\n"
    "5 not in this state, or already there; 6 a service cannot be reached or is busy: try again; 7 bad data "
    "or signature.";

Session::Session() = default;
Session::~Session() = default;

void Session::AddFlags(CLI::App& app) {
  // CLI11 2.1 shows a configuration file's variable in the help, and never reads it. A file that the variable
  // names has to be there, as one that the flag names.
  const char* file = std::getenv("COUNTERSIGN_CONFIG");
  const bool named = file != nullptr && *file != '\0';
  app.set_config("--config", named ? file : "", "file with flags, e.g. tls-cert = \"operator.crt\"", named)
      ->envname("COUNTERSIGN_CONFIG");
  rpc::AddFlag(app, "--tls-cert", tls_.certificate_file, "certificate that says who you are");
  rpc::AddFlag(app, "--tls-key", tls_.key_file, "its private key");
  rpc::AddFlag(app, "--tls-ca", tls_.ca_file, "certificates of the authorities to trust");
  rpc::AddFlag(app, "--trust-domain", tls_.trust_domain, "trust domain of all identities");
  for (const char* service : kServices) {
    rpc::AddFlag(app, absl::StrCat("--", service, "-address"), addresses_[service],
                 absl::StrCat("host:port of the service ", service));
  }
  rpc::AddFlag(app, "--timeout", timeout_seconds_, "seconds that a call may take")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_flag("--json", json_, "print JSON for scripts");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(kExitStatusHelp);
}

CLI::App* Session::AddVerb(CLI::App& group, const std::string& name, const std::string& help,
                           std::function<absl::Status()> run) {
  CLI::App* verb = group.add_subcommand(name, help);
  verb->fallthrough();
  verb->callback([this, run = std::move(run)] { status_.Update(run()); });
  return verb;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Session::Dial(absl::string_view service) {
  const std::pair<const char*, const std::string*> needed[] = {{"--tls-cert", &tls_.certificate_file},
                                                               {"--tls-key", &tls_.key_file},
                                                               {"--tls-ca", &tls_.ca_file},
                                                               {"--trust-domain", &tls_.trust_domain}};
  for (const auto& [flag, value] : needed) {
    if (value->empty()) {
      return Error(
          absl::StatusCode::kFailedPrecondition, "FLAG_MISSING",
          absl::StrCat("give ", flag, ", or set it in the file that --config or COUNTERSIGN_CONFIG names"));
    }
  }
  RETURN_IF_ERROR(CheckTlsFiles(tls_));
  const std::string& address = addresses_.find(service)->second;
  if (address.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "FLAG_MISSING",
                 absl::StrCat("give --", service,
                              "-address host:port, or set it in the file that --config or "
                              "COUNTERSIGN_CONFIG names"));
  }
  if (!dialer_) dialer_ = std::make_unique<rpc::Dialer>(tls_);
  return dialer_->Dial(address, {rpc::Role::kService, std::string(service)});
}

void Session::Print(const Message& message) const {
  if (json_) {
    std::cout << ToJson(message, true);
  } else {
    PrintFields(message, 0, std::cout);
  }
}

void Session::PrintTable(const std::vector<const Message*>& rows, const std::vector<Column>& columns) const {
  if (json_) {
    std::cout << "[";
    for (size_t i = 0; i < rows.size(); ++i) std::cout << (i == 0 ? "\n" : ",\n") << ToJson(*rows[i], false);
    std::cout << "\n]\n";
    return;
  }
  std::vector<std::vector<std::string>> cells(1);
  for (const Column& column : columns) cells[0].push_back(column.header);
  for (const Message* row : rows) {
    std::vector<std::string>& line = cells.emplace_back();
    for (const Column& column : columns) line.push_back(FieldText(*row, column.field));
  }
  std::vector<size_t> widths(columns.size(), 0);
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : cells) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) {
      absl::StrAppend(&text, line[i], std::string(widths[i] - line[i].size() + 2, ' '));
    }
    std::cout << absl::StripTrailingAsciiWhitespace(text) << "\n";
  }
}

void Session::Say(absl::string_view sentence) const {
  if (!json_) std::cout << sentence << "\n";
}

std::string ResourceName(absl::string_view collection, absl::string_view id) {
  return absl::StrContains(id, '/') ? std::string(id) : absl::StrCat(collection, "/", id);
}

absl::Status ReadJson(const std::string& path, Message* message) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto status = google::protobuf::util::JsonStringToMessage(text, message);
  if (status.ok()) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "JSON_MALFORMED",
               absl::StrCat(path, " is not a ", message->GetDescriptor()->full_name(),
                            " in JSON: ", std::string(status.message())));
}

int ExitStatus(const absl::Status& status) {
  if (ReasonOf(status) == "FLAG_MISSING") return 2;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kNotFound:
      return 3;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return 4;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 5;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return 6;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return 7;
    default:
      return 1;
  }
}

int Finish(absl::string_view program, const absl::Status& outcome) {
  const absl::Status status = Explained(outcome);
  if (!status.ok()) {
    const std::string reason = ReasonOf(status);
    std::cerr << program << ": " << status.message() << " (" << absl::StatusCodeToString(status.code())
              << (reason.empty() ? "" : ", ") << reason << ")\n";
  }
  return ExitStatus(status);
}

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)), total_(total), terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (terminal_ && shown_percent_ >= 0) std::fputs("\n", stderr);
}

void Progress::Show(int64_t done) {
  if (!terminal_) return;
  const int percent = total_ == 0 ? 100 : static_cast<int>(done * 100 / total_);
  if (percent == shown_percent_) return;
  shown_percent_ = percent;
  constexpr int kWidth = 30;
  const int filled = percent * kWidth / 100;
  std::fprintf(stderr, "\r%s [%s%s] %3d %%", label_.c_str(), std::string(filled, '#').c_str(),
               std::string(kWidth - filled, ' ').c_str(), percent);
}

}  // namespace countersign::ctl
