// manufacturer, release, notice: what liaison keeps.
#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "countersign/liaison/v1/liaison.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::liaison::v1;
using v1::LiaisonService;

void AddManufacturer(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("manufacturer", "Manufacturers and how they are reached");
  group.require_subcommand(1);

  auto create = std::make_shared<v1::CreateManufacturerRequest>();
  CLI::App* verb = session.AddVerb(group, "create", "Add a manufacturer (operator)", [&session, create] {
    v1::Manufacturer& manufacturer = *create->mutable_manufacturer();
    manufacturer.set_name(ResourceName("manufacturers", manufacturer.name()));
    manufacturer.set_channel(manufacturer.backend_address().empty() ? v1::Manufacturer::CHANNEL_PUSH
                                                                    : v1::Manufacturer::CHANNEL_BACKEND);
    create->set_request_id(crypto::Uuid());
    return CallAndPrint<LiaisonService>(session, "liaison", &LiaisonService::Stub::CreateManufacturer,
                                        *create);
  });
  verb->add_option("id", *create->mutable_manufacturer()->mutable_name(), "id, as in its certificate")
      ->required();
  verb->add_option("--display-name", *create->mutable_manufacturer()->mutable_display_name(),
                   "a name for people")
      ->required();
  verb->add_option("--backend", *create->mutable_manufacturer()->mutable_backend_address(),
                   "host:port of its backend; without it, it pushes");

  auto get = std::make_shared<v1::GetManufacturerRequest>();
  verb = session.AddVerb(group, "show", "Show a manufacturer", [&session, get] {
    get->set_name(ResourceName("manufacturers", get->name()));
    return CallAndPrint<LiaisonService>(session, "liaison", &LiaisonService::Stub::GetManufacturer, *get);
  });
  verb->add_option("id", *get->mutable_name(), "id of the manufacturer")->required();

  session.AddVerb(group, "list", "List the manufacturers", [&session] {
    return ListAndPrint<LiaisonService>(session, "liaison", &LiaisonService::Stub::ListManufacturers,
                                        v1::ListManufacturersRequest(),
                                        &v1::ListManufacturersResponse::manufacturers,
                                        {{"MANUFACTURER", "name"},
                                         {"DISPLAY NAME", "display_name"},
                                         {"CHANNEL", "channel"},
                                         {"LAST ASKED", "last_refresh_time"},
                                         {"OUTCOME", "last_refresh_state"},
                                         {"ERROR", "last_refresh_error"}});
  });

  auto refresh = std::make_shared<v1::RefreshManufacturerRequest>();
  verb = session.AddVerb(group, "refresh", "Have its backend asked for what is new (operator)",
                         [&session, refresh] {
                           refresh->set_name(ResourceName("manufacturers", refresh->name()));
                           refresh->set_request_id(crypto::Uuid());
                           return CallAndPrint<LiaisonService>(
                               session, "liaison", &LiaisonService::Stub::RefreshManufacturer, *refresh);
                         });
  verb->add_option("id", *refresh->mutable_name(), "id of the manufacturer")->required();
}

void AddRelease(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("release", "Releases that manufacturers offer");
  group.require_subcommand(1);

  auto file = std::make_shared<std::string>();
  CLI::App* verb = session.AddVerb(group, "create", "Announce a release (manufacturer)",
                                   [&session, file]() -> absl::Status {
                                     v1::CreateReleaseRequest request;
                                     request.set_request_id(crypto::Uuid());
                                     RETURN_IF_ERROR(ReadJson(*file, request.mutable_release()));
                                     return CallAndPrint<LiaisonService>(
                                         session, "liaison", &LiaisonService::Stub::CreateRelease, request);
                                   });
  verb->add_option("file", *file, "countersign.liaison.v1.Release in JSON")->required();

  auto get = std::make_shared<v1::GetReleaseRequest>();
  verb = session.AddVerb(group, "show", "Show a release", [&session, get] {
    return CallAndPrint<LiaisonService>(session, "liaison", &LiaisonService::Stub::GetRelease, *get);
  });
  verb->add_option("name", *get->mutable_name(), "manufacturers/{manufacturer}/releases/{release}")
      ->required();

  auto list = std::make_shared<v1::ListReleasesRequest>();
  list->set_parent("-");
  verb = session.AddVerb(group, "list", "List releases", [&session, list] {
    list->set_parent(ResourceName("manufacturers", list->parent()));
    return ListAndPrint<LiaisonService>(session, "liaison", &LiaisonService::Stub::ListReleases, *list,
                                        &v1::ListReleasesResponse::releases,
                                        {{"RELEASE", "name"},
                                         {"VERSION", "info.version"},
                                         {"MODELS", "info.models"},
                                         {"HARDWARE", "info.hardware_ids"},
                                         {"CRITICALITY", "info.criticality"},
                                         {"KIND", "info.kind"},
                                         {"STATE", "state"}});
  });
  verb->add_option("--manufacturer", *list->mutable_parent(), "only those of this manufacturer");
}

void AddNotice(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("notice", "What manufacturers are told and asked");
  group.require_subcommand(1);

  struct Create {
    std::string kind;
    std::vector<std::string> models;
    v1::CreateNoticeRequest request;
  };
  auto create = std::make_shared<Create>();
  static const std::map<std::string, v1::Notice::Kind> kKinds = {
      {"breach", v1::Notice::KIND_BREACH},
      {"patch-request", v1::Notice::KIND_PATCH_REQUEST},
      {"update-request", v1::Notice::KIND_UPDATE_REQUEST}};
  CLI::App* verb =
      session.AddVerb(group, "create", "Tell or ask a manufacturer (operator)", [&session, create] {
        v1::CreateNoticeRequest& request = create->request;
        request.set_parent(ResourceName("manufacturers", request.parent()));
        request.set_request_id(crypto::Uuid());
        request.mutable_notice()->set_kind(kKinds.at(create->kind));
        for (const std::string& model : create->models) request.mutable_notice()->add_models(model);
        return CallAndPrint<LiaisonService>(session, "liaison", &LiaisonService::Stub::CreateNotice, request);
      });
  verb->add_option("manufacturer", *create->request.mutable_parent(), "id of the manufacturer")->required();
  verb->add_option("--kind", create->kind, "breach, patch-request or update-request")
      ->required()
      ->check(CLI::IsMember(kKinds));
  verb->add_option("--model", create->models, "a model concerned; may be repeated")->required();
  verb->add_option("--text", *create->request.mutable_notice()->mutable_text(), "what happened or is wanted")
      ->required();

  auto list = std::make_shared<v1::ListNoticesRequest>();
  list->set_parent("-");
  verb = session.AddVerb(group, "list", "List notices", [&session, list] {
    list->set_parent(ResourceName("manufacturers", list->parent()));
    return ListAndPrint<LiaisonService>(
        session, "liaison", &LiaisonService::Stub::ListNotices, *list, &v1::ListNoticesResponse::notices,
        {{"NOTICE", "name"}, {"KIND", "kind"}, {"MODELS", "models"}, {"STATE", "state"}, {"TEXT", "text"}});
  });
  verb->add_option("--manufacturer", *list->mutable_parent(), "only those to this manufacturer");
}

}  // namespace

void AddLiaisonCommands(CLI::App& app, Session& session) {
  AddManufacturer(app, session);
  AddRelease(app, session);
  AddNotice(app, session);
}

}  // namespace countersign::ctl
