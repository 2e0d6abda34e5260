// rollout, consent: campaigns and what users agreed to.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "countersign/consent/v1/consent.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::rollout::v1;
namespace consent = countersign::consent::v1;
using consent::ConsentService;
using v1::RolloutService;

// A verb on one rollout, to which a user gives its id and nothing else.
template <typename Request>
void AddStateVerb(CLI::App& group, Session& session, const std::string& name, const std::string& help,
                  grpc::Status (RolloutService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                               v1::Rollout*)) {
  auto request = std::make_shared<Request>();
  CLI::App* verb = session.AddVerb(group, name, help, [&session, request, method] {
    request->set_name(ResourceName("rollouts", request->name()));
    if constexpr (requires { request->request_id(); }) request->set_request_id(crypto::Uuid());
    return CallAndPrint<RolloutService>(session, "rollout", method, *request);
  });
  verb->add_option("id", *request->mutable_name(), "id of the rollout")->required();
}

bool Ended(v1::Rollout::State state) {
  return state == v1::Rollout::STATE_COMPLETED || state == v1::Rollout::STATE_ABORTED ||
         state == v1::Rollout::STATE_FAILED;
}

// Follows a rollout until it ends, or until it is in state `until`.
absl::Status Wait(Session& session, const std::string& id, const std::string& until, int seconds) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<RolloutService>(session, "rollout"));
  v1::GetRolloutRequest request;
  request.set_name(ResourceName("rollouts", id));
  const absl::Time deadline = absl::Now() + absl::Seconds(seconds);
  Progress progress(id, 100);
  while (true) {
    ASSIGN_OR_RETURN(v1::Rollout rollout, Call(session, *stub, &RolloutService::Stub::GetRollout, request));
    const v1::AssignmentCounts& counts = rollout.counts();
    const int ended = counts.succeeded() + counts.failed() + counts.cancelled();
    if (counts.total() > 0) progress.Show(ended * 100 / counts.total());
    const std::string state = v1::Rollout::State_Name(rollout.state());
    if (state == absl::StrCat("STATE_", until) || Ended(rollout.state())) {
      session.Print(rollout);
      if (until.empty() || state == absl::StrCat("STATE_", until)) return absl::OkStatus();
      return Error(absl::StatusCode::kFailedPrecondition, "WRONG_STATE",
                   absl::StrCat("the rollout ended as ", state, " before it was ", until));
    }
    if (absl::Now() >= deadline) {
      return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                   absl::StrCat("the rollout is still ", state, " after ", seconds, " seconds"));
    }
    absl::SleepFor(absl::Milliseconds(200));
  }
}

void AddRollout(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("rollout", "Update campaigns");
  group.require_subcommand(1);

  struct Create {
    v1::Rollout rollout;
    std::vector<std::string> releases;
    int max_concurrent = 0;
    int max_failures = 0;
    int timeout_seconds = 0;
  };
  auto create = std::make_shared<Create>();
  CLI::App* verb = session.AddVerb(
      group, "create", "Plan a rollout; nothing is installed before `start` (operator)", [&session, create] {
        v1::CreateRolloutRequest request;
        request.set_request_id(crypto::Uuid());
        v1::Rollout& rollout = *request.mutable_rollout();
        rollout = create->rollout;
        for (const std::string& release : create->releases) rollout.add_releases(release);
        rollout.set_max_concurrent(create->max_concurrent);
        rollout.set_max_failures(create->max_failures);
        if (create->timeout_seconds > 0) {
          rollout.mutable_assignment_timeout()->set_seconds(create->timeout_seconds);
        }
        return CallAndPrint<RolloutService>(session, "rollout", &RolloutService::Stub::CreateRollout,
                                            request);
      });
  verb->add_option("display-name", *create->rollout.mutable_display_name(), "a name for people")->required();
  verb->add_option("--release", create->releases,
                   "manufacturers/{manufacturer}/releases/{release}; may be repeated")
      ->required();
  verb->add_option("--filter", *create->rollout.mutable_filter(), "components, e.g. 'gateway = \"home-1\"'");
  verb->add_option("--max-concurrent", create->max_concurrent, "components under way at once; 0: no limit");
  verb->add_option("--max-failures", create->max_failures, "pause at this many failures; 0: never");
  verb->add_option("--assignment-timeout", create->timeout_seconds,
                   "seconds until silence is a failure; a day if 0");

  verb->add_flag_callback(
      "--bundle", [create] { create->rollout.set_bundle(true); },
      "the components of one gateway change together, or none of them does");

  AddStateVerb(group, session, "show", "Show a rollout", &RolloutService::Stub::GetRollout);
  AddStateVerb(group, session, "start", "Launch a rollout (operator)", &RolloutService::Stub::StartRollout);
  AddStateVerb(group, session, "pause", "Let no further component in (operator)",
               &RolloutService::Stub::PauseRollout);
  AddStateVerb(group, session, "resume", "Go on after a pause (operator)",
               &RolloutService::Stub::ResumeRollout);
  AddStateVerb(group, session, "abort", "End a rollout (operator)", &RolloutService::Stub::AbortRollout);

  struct WaitFlags {
    std::string id, until;
    int seconds = 600;
  };
  auto wait = std::make_shared<WaitFlags>();
  verb = session.AddVerb(group, "wait", "Follow a rollout until it ends, with a progress bar",
                         [&session, wait] { return Wait(session, wait->id, wait->until, wait->seconds); });
  verb->add_option("id", wait->id, "id of the rollout")->required();
  verb->add_option("--until", wait->until, "a state to wait for instead, e.g. READY");
  verb->add_option("--for", wait->seconds, "seconds to wait at the most")->check(CLI::PositiveNumber);

  session.AddVerb(group, "list", "List the rollouts", [&session] {
    return ListAndPrint<RolloutService>(session, "rollout", &RolloutService::Stub::ListRollouts,
                                        v1::ListRolloutsRequest(), &v1::ListRolloutsResponse::rollouts,
                                        {{"ROLLOUT", "name"},
                                         {"DISPLAY NAME", "display_name"},
                                         {"STATE", "state"},
                                         {"TOTAL", "counts.total"},
                                         {"WAITING", "counts.waiting"},
                                         {"ACTIVE", "counts.active"},
                                         {"SUCCEEDED", "counts.succeeded"},
                                         {"FAILED", "counts.failed"},
                                         {"CANCELLED", "counts.cancelled"},
                                         {"LAUNCHED BY", "launched_by"}});
  });

  auto assignments = std::make_shared<v1::ListAssignmentsRequest>();
  assignments->set_parent("-");
  verb = session.AddVerb(group, "assignments", "List the components of a rollout", [&session, assignments] {
    assignments->set_parent(ResourceName("rollouts", assignments->parent()));
    return ListAndPrint<RolloutService>(session, "rollout", &RolloutService::Stub::ListAssignments,
                                        *assignments, &v1::ListAssignmentsResponse::assignments,
                                        {{"GATEWAY", "gateway"},
                                         {"COMPONENT", "ecu_serial"},
                                         {"FROM", "from_version"},
                                         {"TO", "to_version"},
                                         {"PHASE", "phase"},
                                         {"REASON", "failure_reason"},
                                         {"APPROVED BY", "approved_by"},
                                         {"CONSENTED BY", "consented_by"},
                                         {"DETAIL", "failure_detail"}});
  });
  verb->add_option("id", *assignments->mutable_parent(), "id of the rollout; all when left out");

  auto root = std::make_shared<std::string>();
  verb = session.AddVerb(group, "publish-root", "Publish the Director repository's root metadata (operator)",
                         [&session, root]() -> absl::Status {
                           v1::PublishDirectorRootRequest request;
                           ASSIGN_OR_RETURN(*request.mutable_metadata(), ReadFile(*root));
                           return CallAndPrint<RolloutService>(
                               session, "rollout", &RolloutService::Stub::PublishDirectorRoot, request);
                         });
  verb->add_option("file", *root, "the signed root metadata")->required();
}

void AddConsent(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("consent", "What users agreed to");
  group.require_subcommand(1);

  auto records = std::make_shared<consent::ListRecordsRequest>();
  records->set_parent("-");
  CLI::App* verb = session.AddVerb(group, "records", "List the consent records", [&session, records] {
    records->set_parent(ResourceName("gateways", records->parent()));
    return ListAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::ListRecords, *records,
                                        &consent::ListRecordsResponse::records,
                                        {{"RECORD", "name"},
                                         {"ASSIGNMENT", "assignment"},
                                         {"DECISION", "decision"},
                                         {"BY", "principal_id"},
                                         {"POLICY", "policy"},
                                         {"AT", "decide_time"}});
  });
  verb->add_option("--gateway", *records->mutable_parent(), "only those of this gateway");

  auto get = std::make_shared<consent::GetRecordRequest>();
  verb = session.AddVerb(group, "show", "Show a consent record", [&session, get] {
    return CallAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::GetRecord, *get);
  });
  verb->add_option("name", *get->mutable_name(), "gateways/{gateway}/records/{record}")->required();

  auto prompts = std::make_shared<consent::ListPromptsRequest>();
  prompts->set_parent("-");
  verb = session.AddVerb(group, "prompts", "List the questions that wait for users", [&session, prompts] {
    prompts->set_parent(ResourceName("gateways", prompts->parent()));
    return ListAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::ListPrompts, *prompts,
                                        &consent::ListPromptsResponse::prompts,
                                        {{"PROMPT", "name"},
                                         {"COMPONENT", "question.ecu_serial"},
                                         {"VERSION", "question.release.version"},
                                         {"CRITICALITY", "question.release.criticality"},
                                         {"STATE", "state"},
                                         {"ASKED", "create_time"}});
  });
  verb->add_option("--gateway", *prompts->mutable_parent(), "only those of this gateway");

  auto policies = std::make_shared<consent::ListPoliciesRequest>();
  policies->set_parent("-");
  verb = session.AddVerb(group, "policies", "List the standing policies", [&session, policies] {
    policies->set_parent(ResourceName("gateways", policies->parent()));
    return ListAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::ListPolicies, *policies,
                                        &consent::ListPoliciesResponse::policies,
                                        {{"POLICY", "name"},
                                         {"KINDS", "kinds"},
                                         {"FROM CRITICALITY", "minimum_criticality"},
                                         {"BY", "principal_id"},
                                         {"STATE", "state"}});
  });
  verb->add_option("--gateway", *policies->mutable_parent(), "only those of this gateway");
}

}  // namespace

void AddRolloutCommands(CLI::App& app, Session& session) {
  AddRollout(app, session);
  AddConsent(app, session);
}

}  // namespace countersign::ctl
