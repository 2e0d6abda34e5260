"""Attacks on consent: answers that were never given, and installations that go on after it was taken back."""

import hashlib
import uuid

import pytest
from grpc import StatusCode

from attacker import AUTHORITY, OPERATOR, Refused
from suite import wait_for
from world import RELEASES

CAR = "gateway/car-1"


def release_of(component: str):
    return next(release for release in RELEASES if release.component == component)


class Campaign:
    """A started rollout of one component in the vehicle, whose driver has been asked."""

    def __init__(self, target, component: str) -> None:
        self._target = target
        self.serial = f"{component}-0001"
        self.name = target.story.create_rollout(f"Attack on the consent to {component}", [release_of(component)])
        target.suite.ctl(OPERATOR, "rollout", "start", self.name)
        self.prompt = wait_for(self._find_prompt, "the question to the driver", 30)

    def _find_prompt(self):
        prompts = self._target.as_(CAR).call("consent", "ListPrompts", parent="gateways/car-1").prompts
        return next((prompt for prompt in prompts if prompt.question.assignment.startswith(self.name)), None)

    def waits(self) -> bool:
        found = self._find_prompt()
        return found is not None and found.name == self.prompt.name

    def assignment(self):
        [assignment] = self._target.as_(OPERATOR).call("rollout", "ListAssignments", parent=self.name).assignments
        return assignment

    def phase(self) -> str:
        assignment = self.assignment()
        return assignment.DESCRIPTOR.fields_by_name["phase"].enum_type.values_by_number[assignment.phase].name

    def answer(self, decision: str, /, **changes):
        """The driver's answer as the gateway sends it, unless changed."""
        fields = {"name": self.prompt.name, "decision": decision, "principal_id": "driver-4", "language": "en",
                  "text_sha256": notice_digest(self.prompt)}
        fields.update(changes)
        return self._target.as_(CAR).call("consent", "AnswerPrompt", **fields)

    def abort(self) -> None:
        self._target.suite.ctl(OPERATOR, "rollout", "abort", self.name)


def notice_digest(prompt) -> str:
    """As consent.proto has it, at AnswerPromptRequest.text_sha256."""
    [notice] = [notice for notice in prompt.question.release.notices if notice.language == "en"]
    parts = (notice.purpose, notice.changes, str(notice.install_duration.seconds), notice.unavailable_functions, notice.instructions)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@pytest.fixture(name="campaign", scope="module")
def _campaign(target):
    started = Campaign(target, "infotainment")
    yield started
    started.abort()


@pytest.mark.parametrize("changes", [
    {"text_sha256": "00" * 32}, {"text_sha256": ""}, {"text_sha256": "zz" * 32}, {"language": "de"}, {"language": "fr"}, {"language": ""},
    {"accepted_terms_sha256": "00" * 32}, {"principal_id": ""}, {"principal_id": "a\x00b"}, {"principal_id": "x" * 10_000},
    {"decision": "DECISION_UNSPECIFIED"}, {"decision": "DECISION_PENDING"}, {"decision": "DECISION_WITHDRAWN"},
    {"decision": "DECISION_EXPIRED"}, {"decision": 99}, {"decision": "DECISION_DEFERRED"}, {"request_id": ""}, {"request_id": "1"},
], ids=lambda changes: "-".join(f"{key}-{str(value)[:12]}" for key, value in changes.items()).replace("\x00", "NUL"))
def test_an_answer_that_is_not_about_what_was_shown_is_refused(target, campaign, changes):
    # PLUS-2
    with target.unchanged(), pytest.raises(Refused) as refusal:
        campaign.answer("DECISION_GRANTED", **changes)
    assert refusal.value.code == StatusCode.INVALID_ARGUMENT
    if set(changes) & {"text_sha256", "language"} and changes.get("text_sha256") == "00" * 32:
        assert refusal.value.reason == "TEXT_DIFFERS"
    if "accepted_terms_sha256" in changes:
        assert refusal.value.reason == "TERMS_NOT_ACCEPTED"
    assert campaign.waits()


@pytest.mark.parametrize("identity", [OPERATOR, AUTHORITY, "manufacturer/acme", "service/rollout", "service/liaison"])
def test_nobody_answers_for_the_user(target, campaign, identity):
    with pytest.raises(Refused) as refusal:
        target.as_(identity).call("consent", "AnswerPrompt", name=campaign.prompt.name, decision="DECISION_GRANTED",
                                  principal_id="driver-4", language="en", text_sha256=notice_digest(campaign.prompt))
    assert refusal.value.reason == "ROLE_NOT_ALLOWED"
    assert campaign.waits() and campaign.phase() != "UPDATE_PHASE_UPDATING"


@pytest.mark.parametrize("identity", [OPERATOR, AUTHORITY, CAR, "manufacturer/acme", "service/liaison", "service/inventory"])
def test_nobody_asks_closes_or_watches_in_place_of_the_rollout(target, campaign, identity):
    question = {"assignment": campaign.prompt.question.assignment, "gateway": "car-1"}
    for method, fields in (("RequestConsent", {"questions": [campaign.prompt.question]}), ("CloseQuestions", {"questions": [question]}),
                           ("WatchDecisions", {})):
        with pytest.raises(Refused) as refusal:
            target.as_(identity).call("consent", method, **fields)
        assert refusal.value.reason == "ROLE_NOT_ALLOWED", method
    assert campaign.waits()


def test_a_question_that_hides_something_from_the_user_is_not_put(target, campaign):
    for field in ("purpose", "unavailable_functions"):
        question = type(campaign.prompt.question)()
        question.CopyFrom(campaign.prompt.question)
        question.assignment = f"rollouts/forged/assignments/{campaign.serial}"
        question.release.notices[0].ClearField(field)
        with pytest.raises(Refused) as refusal:
            target.as_("service/rollout").call("consent", "RequestConsent", questions=[question])
        assert refusal.value.code == StatusCode.INVALID_ARGUMENT
    names = [p.question.assignment for p in target.as_(CAR).call("consent", "ListPrompts", parent="gateways/car-1").prompts]
    assert not any("forged" in name for name in names)


def test_a_decision_is_made_once(target):
    campaign = Campaign(target, "door")
    campaign.answer("DECISION_DENIED")
    for decision in ("DECISION_GRANTED", "DECISION_DENIED"):
        with pytest.raises(Refused) as refusal:
            campaign.answer(decision)
        assert refusal.value.code == StatusCode.FAILED_PRECONDITION
    wait_for(lambda: campaign.phase() == "UPDATE_PHASE_CANCELLED", "the driver's no to be heeded", 30)
    # FOTA-F: nothing is installed after a no.
    assert target.components()["door-0001"][1] == "1.0.0"


def test_a_request_id_of_one_answer_carries_no_other(target, campaign):
    request_id = str(uuid.uuid4())
    other = Campaign(target, "telematics")
    other.answer("DECISION_DENIED", request_id=request_id)
    with pytest.raises(Refused) as refusal:
        campaign.answer("DECISION_GRANTED", request_id=request_id)
    assert refusal.value.code in (StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION, StatusCode.ALREADY_EXISTS)
    assert campaign.waits()


def test_consent_that_is_withdrawn_before_the_installation_stops_it(target):
    # PLUS-2: the vehicle's gateway stands still from the yes to the withdrawal, so that nothing is installed between them.
    process = target.suite.processes["car-1"]
    campaign = Campaign(target, "door")
    process.pause()
    try:
        record = campaign.answer("DECISION_GRANTED")
        wait_for(lambda: campaign.assignment().consent_record == record.name, "the consent to be known to the rollout", 30)
        withdrawn = target.as_(CAR).call("consent", "WithdrawConsent", name=record.name, principal_id="driver-4")
        assert withdrawn.name
        wait_for(lambda: campaign.phase() == "UPDATE_PHASE_CANCELLED", "the withdrawal to be heeded", 30)
    finally:
        process.resume()
    # The gateway comes back and looks for what it may install.
    checked = target.suite.run(*target.story.gateway_command("car-1"), "report")
    assert checked is not None
    assert campaign.phase() == "UPDATE_PHASE_CANCELLED"
    assert target.components()["door-0001"][1] == "1.0.0"
    with pytest.raises(Refused) as refusal:
        target.as_(CAR).call("consent", "WithdrawConsent", name=record.name, principal_id="driver-4")
    assert refusal.value.reason == "NOT_GRANTED"
