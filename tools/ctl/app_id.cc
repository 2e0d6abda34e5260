// app-id: what the App-ID registry keeps.
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/onem2m/terms.h"
#include "common/status/errors.h"
#include "countersign/appid_registry/v1/appid_registry.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::appid_registry::v1;
using Service = v1::AppIdRegistryService;

constexpr char kService[] = "appid-registry";
constexpr char kProfiles[] = "profiles";
constexpr char kRegistrants[] = "registrants";

// What a verb that changes a registration's state is told.
struct Change {
  std::string app_id, reason, etag;
};

template <typename Request>
void AddChange(CLI::App& group, Session& session, const std::string& verb, const std::string& help,
               grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, v1::Profile*)) {
  auto change = std::make_shared<Change>();
  CLI::App* added = session.AddVerb(group, verb, help, [&session, change, method] {
    Request request;
    request.set_name(ResourceName(kProfiles, change->app_id));
    request.set_reason(change->reason);
    request.set_etag(change->etag);
    request.set_request_id(crypto::Uuid());
    return CallAndPrint<Service>(session, kService, method, request);
  });
  added->add_option("app-id", change->app_id, "the App-ID")->required();
  added->add_option("--reason", change->reason, "why; it is kept")->required();
  added->add_option("--etag", change->etag, "only if it has not changed since this was read");
}

const std::vector<Column> kProfileColumns = {{"PROFILE", "name"},
                                             {"VERSION", "version"},
                                             {"TYPE", "application_type"},
                                             {"CLASS", "application_class"},
                                             {"SECURITY", "security_capability"},
                                             {"STATE", "state"}};

void AddConditions(CLI::App& verb, v1::ListProfilesRequest& request) {
  verb.add_option("--prefix", *request.mutable_app_id_prefix(), "those whose App-ID begins so");
  verb.add_option("--authority", *request.mutable_authority_id(), "those of an authority id");
  verb.add_option("--manufacturer", *request.mutable_manufacturer(), "those of a manufacturer");
  verb.add_option("--registrant", *request.mutable_registrant(), "those whose terms a registrant has signed");
  verb.add_option("--type", *request.mutable_application_type(), "those of an application type");
  verb.add_option_function<std::string>(
          "--state",
          [&request](const std::string& state) {
            request.set_state(state == "registered"  ? v1::Profile::STATE_REGISTERED
                              : state == "suspended" ? v1::Profile::STATE_SUSPENDED
                                                     : v1::Profile::STATE_REVOKED);
          },
          "registered, suspended or revoked")
      ->check(CLI::IsMember({"registered", "suspended", "revoked"}));
}

void AddProfiles(CLI::App& group, Session& session) {
  auto file = std::make_shared<std::string>();
  CLI::App* verb = session.AddVerb(group, "register", "Register an App-ID with its profile (registrar)",
                                   [&session, file]() -> absl::Status {
                                     v1::CreateProfileRequest request;
                                     request.set_request_id(crypto::Uuid());
                                     RETURN_IF_ERROR(ReadJson(*file, request.mutable_profile()));
                                     return CallAndPrint<Service>(session, kService,
                                                                  &Service::Stub::CreateProfile, request);
                                   });
  verb->add_option("file", *file, "countersign.appid_registry.v1.Profile in JSON")->required();

  auto update = std::make_shared<std::string>();
  verb = session.AddVerb(group, "update", "Register a new version of a profile (registrar)",
                         [&session, update]() -> absl::Status {
                           v1::UpdateProfileRequest request;
                           request.set_request_id(crypto::Uuid());
                           RETURN_IF_ERROR(ReadJson(*update, request.mutable_profile()));
                           return CallAndPrint<Service>(session, kService, &Service::Stub::UpdateProfile,
                                                        request);
                         });
  verb->add_option("file", *update,
                   "the profile as `show --json` prints it, changed; its etag says what it replaces")
      ->required();

  auto get = std::make_shared<v1::GetProfileRequest>();
  auto version = std::make_shared<int>(0);
  verb = session.AddVerb(group, "show", "Show a profile", [&session, get, version] {
    get->set_name(ResourceName(kProfiles, get->name()));
    get->set_version(*version);
    return CallAndPrint<Service>(session, kService, &Service::Stub::GetProfile, *get);
  });
  verb->add_option("app-id", *get->mutable_name(), "the App-ID")->required();
  verb->add_option("--version", *version, "an earlier version")->check(CLI::PositiveNumber);

  auto list = std::make_shared<v1::ListProfilesRequest>();
  verb = session.AddVerb(group, "list", "List the profiles", [&session, list] {
    return ListAndPrint<Service>(session, kService, &Service::Stub::ListProfiles, *list,
                                 &v1::ListProfilesResponse::profiles, kProfileColumns);
  });
  AddConditions(*verb, *list);

  auto versions = std::make_shared<v1::ListProfileVersionsRequest>();
  verb = session.AddVerb(group, "versions", "List the versions of a profile", [&session, versions] {
    versions->set_name(ResourceName(kProfiles, versions->name()));
    return ListAndPrint<Service>(session, kService, &Service::Stub::ListProfileVersions, *versions,
                                 &v1::ListProfileVersionsResponse::versions,
                                 {{"VERSION", "profile.version"},
                                  {"TYPE", "profile.application_type"},
                                  {"TIME", "create_time"},
                                  {"BY", "actor"}});
  });
  verb->add_option("app-id", *versions->mutable_name(), "the App-ID")->required();

  auto history = std::make_shared<v1::ListProfileEventsRequest>();
  verb = session.AddVerb(group, "history", "Show what was done to a profile, when, by whom and why",
                         [&session, history] {
                           history->set_name(ResourceName(kProfiles, history->name()));
                           return ListAndPrint<Service>(session, kService, &Service::Stub::ListProfileEvents,
                                                        *history, &v1::ListProfileEventsResponse::events,
                                                        {{"TIME", "event_time"},
                                                         {"WHAT", "kind"},
                                                         {"VERSION", "version"},
                                                         {"BY", "actor"},
                                                         {"WHY", "reason"}});
                         });
  verb->add_option("app-id", *history->mutable_name(), "the App-ID")->required();

  AddChange(group, session, "suspend", "Take a registration out of force for now (registrar)",
            &Service::Stub::SuspendProfile);
  AddChange(group, session, "reinstate", "End a suspension (registrar)", &Service::Stub::ReinstateProfile);
  AddChange(group, session, "revoke", "Take a registration out of force for good (registrar)",
            &Service::Stub::RevokeProfile);

  auto issue = std::make_shared<v1::IssueAppIdRequest>();
  verb = session.AddVerb(
      group, "issue", "Give out an App-ID that nobody else has (registrar)", [&session, issue] {
        issue->set_request_id(crypto::Uuid());
        return CallAndPrint<Service>(session, kService, &Service::Stub::IssueAppId, *issue);
      });
  verb->add_option("authority", *issue->mutable_authority_id(), "authority id, e.g. a01")->required();
  verb->add_option("reverse-dns", *issue->mutable_reverse_dns(), "e.g. com.company")->required();
  verb->add_option("--application", *issue->mutable_application(),
                   "its name; one that is not guessed otherwise");
}

absl::Status Import(Session& session, const std::string& path, bool dry_run) {
  std::ifstream file;
  if (path != "-") {
    file.open(path);
    if (!file) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_FILE", absl::StrCat(path, " cannot be read."));
    }
  }
  std::istream& in = path == "-" ? std::cin : file;
  ASSIGN_OR_RETURN(const auto stub, MakeStub<Service>(session, kService));
  // As long as it takes: each batch is committed by itself.
  rpc::CallContext context(absl::Hours(24));
  v1::ImportProfilesResponse response;
  const auto writer = stub->ImportProfiles(context.get(), &response);
  v1::ImportProfilesRequest request;
  request.mutable_begin()->set_dry_run(dry_run);
  writer->Write(request);
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    request.Clear();
    const auto parsed = google::protobuf::util::JsonStringToMessage(line, request.mutable_profile());
    if (!parsed.ok()) {
      context->TryCancel();
      writer->Finish();
      // The first of several lines: the others draw an arrow.
      const std::string why(parsed.message());
      return Error(absl::StatusCode::kInvalidArgument, "BAD_FILE",
                   absl::StrCat(path, ", line ", number, ": ", why.substr(0, why.find('\n')),
                                " The lines before it may have been imported."));
    }
    if (!writer->Write(request)) break;  // Finish() says why
  }
  writer->WritesDone();
  RETURN_IF_ERROR(rpc::FromGrpc(writer->Finish()));
  session.Print(response);
  if (response.refused() == 0) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "PROFILES_REFUSED",
               absl::StrCat(response.refused(), " profiles were refused; the others were ",
                            dry_run ? "tried." : "imported."));
}

absl::Status Export(Session& session, v1::ListProfilesRequest request) {
  ASSIGN_OR_RETURN(const auto stub, MakeStub<Service>(session, kService));
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  request.set_page_size(1000);
  do {
    ASSIGN_OR_RETURN(const v1::ListProfilesResponse page,
                     Call(session, *stub, &Service::Stub::ListProfiles, request));
    for (const v1::Profile& profile : page.profiles()) {
      std::string json;
      (void)google::protobuf::util::MessageToJsonString(profile, &json, options);
      std::cout << json << "\n";
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (std::cout.flush()) return absl::OkStatus();
  return absl::ResourceExhaustedError("standard output cannot be written");
}

void AddFiles(CLI::App& group, Session& session) {
  struct ImportFlags {
    std::string file;
    bool dry_run = false;
  };
  auto import = std::make_shared<ImportFlags>();
  CLI::App* verb =
      session.AddVerb(group, "import", "Register the profiles in a file of JSON Lines (registrar)",
                      [&session, import] { return Import(session, import->file, import->dry_run); });
  verb->add_option("file", import->file, "one profile a line; - is standard input")->required();
  verb->add_flag("--dry-run", import->dry_run, "only tell what would change");

  auto conditions = std::make_shared<v1::ListProfilesRequest>();
  verb = session.AddVerb(group, "export", "Print the profiles as JSON Lines",
                         [&session, conditions] { return Export(session, *conditions); });
  AddConditions(*verb, *conditions);

  struct SignFlags {
    std::string app_id, registrant, id, version, text, key, out;
  };
  auto sign = std::make_shared<SignFlags>();
  verb = session.AddVerb(
      group, "sign-terms", "Sign the terms of a registration, as the App Registrant (offline)",
      [&session, sign]() -> absl::Status {
        ASSIGN_OR_RETURN(const std::string text, ReadFile(sign->text));
        ASSIGN_OR_RETURN(const auto signer, crypto::OpenSigner(sign->key));
        const onem2m::Terms terms{sign->app_id,  sign->registrant,        sign->id,
                                  sign->version, crypto::Sha256Hex(text), SystemClock().Now()};
        trust::Envelope envelope = terms.ToEnvelope();
        RETURN_IF_ERROR(envelope.Sign(*signer));
        v1::Profile profile;
        profile.set_name(ResourceName(kProfiles, sign->app_id));
        profile.set_signed_terms(envelope.Serialise());
        RETURN_IF_ERROR(WriteFileAtomically(sign->out, profile.signed_terms()));
        session.Print(profile);
        return absl::OkStatus();
      });
  verb->add_option("app-id", sign->app_id, "the App-ID that they are agreed to for")->required();
  verb->add_option("--registrant", sign->registrant, "id of the registrant")->required();
  verb->add_option("--terms-id", sign->id, "id of the terms")->required();
  verb->add_option("--terms-version", sign->version, "their version")->required();
  verb->add_option("--text", sign->text, "file with their text")->required();
  verb->add_option("--key", sign->key, "PEM file or PKCS#11 URI of the registrant's key")->required();
  verb->add_option("--out", sign->out, "file for the signed document; `signed_terms` is printed as well")
      ->required();
}

void AddVerify(CLI::App& group, Session& session) {
  struct Flags {
    v1::VerifyIdentityRequest request;
    std::string certificates;
  };
  auto verify = std::make_shared<Flags>();
  CLI::App* verb = session.AddVerb(
      group, "verify", "Ask what is known of an identity (cse, gateway)",
      [&session, verify]() -> absl::Status {
        if (!verify->certificates.empty()) {
          ASSIGN_OR_RETURN(*verify->request.mutable_credential()->add_certificate_chain(),
                           ReadFile(verify->certificates));
        }
        return CallAndPrint<Service>(session, kService, &Service::Stub::VerifyIdentity, verify->request);
      });
  verb->add_option("app-id", *verify->request.mutable_app_id(), "the App-ID that was presented")->required();
  verb->add_option("--ae-id", *verify->request.mutable_ae_id(), "the AE-ID that was presented");
  CLI::Option* root = verb->add_option("--root-of-trust", *verify->request.mutable_root_of_trust_sha256(),
                                       "SHA-256 of its root of trust");
  verb->add_option("--certificates", verify->certificates, "PEM file with its certificates, up to the root")
      ->excludes(root);
}

void AddRegistrants(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("registrant", "App Registrants: who answers for applications");
  group.require_subcommand(1);
  struct Create {
    std::string id, display_name, key_file;
  };
  auto create = std::make_shared<Create>();
  CLI::App* verb = session.AddVerb(
      group, "create", "Register an App Registrant (registrar)", [&session, create]() -> absl::Status {
        v1::CreateRegistrantRequest request;
        request.set_request_id(crypto::Uuid());
        v1::Registrant& registrant = *request.mutable_registrant();
        registrant.set_name(ResourceName(kRegistrants, create->id));
        registrant.set_display_name(create->display_name);
        ASSIGN_OR_RETURN(*registrant.mutable_public_key_pem(), ReadFile(create->key_file));
        return CallAndPrint<Service>(session, kService, &Service::Stub::CreateRegistrant, request);
      });
  verb->add_option("id", create->id, "lower-case letters, digits, - and .")->required();
  verb->add_option("--display-name", create->display_name, "a name for people")->required();
  verb->add_option("--key", create->key_file, "PEM public key that verifies its terms")->required();

  auto update = std::make_shared<std::string>();
  verb = session.AddVerb(group, "update", "Replace a registrant's name or key (registrar)",
                         [&session, update]() -> absl::Status {
                           v1::UpdateRegistrantRequest request;
                           request.set_request_id(crypto::Uuid());
                           RETURN_IF_ERROR(ReadJson(*update, request.mutable_registrant()));
                           return CallAndPrint<Service>(session, kService, &Service::Stub::UpdateRegistrant,
                                                        request);
                         });
  verb->add_option("file", *update, "the registrant as `show --json` prints it, changed")->required();

  auto get = std::make_shared<v1::GetRegistrantRequest>();
  verb = session.AddVerb(group, "show", "Show a registrant", [&session, get] {
    get->set_name(ResourceName(kRegistrants, get->name()));
    return CallAndPrint<Service>(session, kService, &Service::Stub::GetRegistrant, *get);
  });
  verb->add_option("id", *get->mutable_name(), "id of the registrant")->required();

  session.AddVerb(group, "list", "List the registrants", [&session] {
    return ListAndPrint<Service>(
        session, kService, &Service::Stub::ListRegistrants, v1::ListRegistrantsRequest(),
        &v1::ListRegistrantsResponse::registrants,
        {{"REGISTRANT", "name"}, {"NAME", "display_name"}, {"REGISTRAR", "registrar"}});
  });
}

}  // namespace

void AddAppIdCommands(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("app-id", "App-IDs of applications (oneM2M)")->alias("appid");
  group.require_subcommand(1);
  AddProfiles(group, session);
  AddFiles(group, session);
  AddVerify(group, session);
  AddRegistrants(group, session);
}

}  // namespace countersign::ctl
