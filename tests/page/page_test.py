"""The page at the gateway's display, in a real browser, against the real services; and attacks on it."""

import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest

from flow import ROOT, story  # noqa: F401  pylint: disable=unused-import
from story import AUTHORITY, OPERATOR, PATIENCE_SECONDS
from suite import ReservedPort, wait_for
from world import FX2, Release

NPM = os.environ.get("COUNTERSIGN_NPM")
OUTPUTS = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", "")
RESIDENT, PIN = "resident-17", "271828"
GATEWAY = "home-1"
TERMS = "You may use the thermostat as long as you keep it warm.\nIt learns nothing about you."
HOSTILE = ("<script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 2\">\"'><svg onload=alert(3)> {device} "
           "\u202eexe.live\u202c &lt;b&gt; javascript:alert(4)")


@dataclasses.dataclass(frozen=True)
class ToldRelease(Release):
    """A release with terms of use, or described by somebody who is no friend."""

    terms: str = ""
    hostile: bool = False

    def json(self) -> dict:
        release = super().json()
        info = release["info"]
        if self.hostile:
            for text in info["notices"]:
                text.update({key: HOSTILE for key in ("purpose", "changes", "unavailable_functions", "instructions")})
            info["advisory"].update({"ids": [HOSTILE[:60]], "risk": HOSTILE, "action": HOSTILE})
        if self.terms:
            info["terms"] = {"id": "tou", "version": "3", "language": "en", "text": self.terms,
                             "text_sha256": hashlib.sha256(self.terms.encode()).hexdigest()}
        return release


THERMOSTAT = ToldRelease("thermostat-1.1.0", "acme", "thermostat", "TH-1", "fx2-thermostat", "1.1.0", 11,
                         FX2 + "sigrok-fx2-16ch.fw", terms=TERMS)
WIFI = ToldRelease("wifi-1.4.0", "acme", "wifi", "WL-9", "ar9271", "1.4.0", 14,
                   "/lib/firmware/ath9k_htc/htc_9271-1.4.0.fw", kind="SECURITY", criticality="LOW")
WIFI_AGAIN = ToldRelease("wifi-1.4.1", "acme", "wifi", "WL-9", "ar9271", "1.4.1", 15, FX2 + "cypress-fx2.fw")
ILL_TOLD = ToldRelease("thermostat-1.2.0", "acme", "thermostat", "TH-1", "fx2-thermostat", "1.2.0", 12,
                       FX2 + "cypress-fx2.fw", terms=HOSTILE, hostile=True)


class Page:
    """A home whose gateway serves the page; nothing is published."""

    def __init__(self, story_, tls: bool = False) -> None:  # noqa: F811
        self.story, self.suite = story_, story_.suite
        self.port = ReservedPort()
        self.tls = tls
        self.url = f"{'https' if tls else 'http'}://{self.port.address}"
        story_.agent_flags[GATEWAY] = [f"--web={self.port.address}"]
        if tls:
            # Any certificate will do: nobody's browser knows the development CA anyway.
            name = self.suite.certificates / f"gateway-{GATEWAY}"
            story_.agent_flags[GATEWAY] += [f"--web-cert={name}.crt", f"--web-key={name}.key"]
        story_.set_up()
        for name in story_.cards.values():
            self.suite.create_key(name)
        self.suite.ctl(OPERATOR, "manufacturer", "create", "acme", "--display-name", "Acme Devices")
        story_.report()
        self.command("user", "add", RESIDENT, given=PIN + "\n")
        wait_for(lambda: self.status("/") == 200, "the page", PATIENCE_SECONDS)

    def command(self, *arguments, given: str = "") -> str:
        return self.suite.run(*self.story.gateway_command(GATEWAY), *arguments, given=given)

    def publish(self, *releases) -> None:
        proposal = self.story.push(list(releases))
        self.suite.ctl(AUTHORITY, "proposal", "approve", proposal["name"], "--key", self.suite.key("authority"))

    def launch(self, *releases) -> str:
        rollout = self.story.create_rollout("At the page", releases)
        self.suite.ctl(OPERATOR, "rollout", "start", rollout)
        return rollout

    def prompt(self, ecu_serial: str) -> str:
        """The id of the prompt about a component, when it is there."""

        def found() -> str:
            for prompt in json.loads(self.command("prompts", "--json")):
                if prompt["question"]["ecu_serial"] == ecu_serial:
                    return prompt["name"].rpartition("/")[2]
            return ""

        return wait_for(found, f"a question about {ecu_serial}", PATIENCE_SECONDS)

    def browse(self, scenario: str, size: str, locale: str, **config) -> None:
        outputs = ""
        if OUTPUTS:
            outputs = str(pathlib.Path(OUTPUTS) / f"{size}-{locale}")
            os.makedirs(outputs, exist_ok=True)
        assert NPM, "COUNTERSIGN_NPM says where the packages of tests/npm are; tools/test sets it"
        visit = subprocess.run(
            ["node", str(ROOT / "tests/page/page.mjs")], check=False, capture_output=True, text=True, timeout=300,
            input=json.dumps({"scenario": scenario, "url": self.url, "size": size, "locale": locale, "principal": RESIDENT,
                              "pin": PIN, "outputs": outputs, **config}))
        assert visit.returncode == 0, visit.stderr

    # Without a browser.

    def send(self, method: str, path: str, form: dict | None = None, **headers) -> http.client.HTTPResponse:
        if self.tls:
            connection = http.client.HTTPSConnection(self.port.address, timeout=20, context=ssl._create_unverified_context())  # pylint: disable=protected-access
        else:
            connection = http.client.HTTPConnection(self.port.address, timeout=20)
        body = None if form is None else urllib.parse.urlencode(form)
        if body is not None:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.url, **headers}
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items() if value})
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        return answer

    def status(self, path: str, **headers) -> int:
        try:
            return self.send("GET", path, **headers).status
        except (ConnectionError, http.client.HTTPException, ssl.SSLError):
            return 0

    def sign_in(self) -> dict:
        """The headers and the token of somebody who is signed in."""
        answer = self.send("POST", "/login", {"principal": RESIDENT, "pin": PIN})
        assert answer.status == 303, answer.text
        cookie = answer.getheader("Set-Cookie")
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert ("; Secure" in cookie) == self.tls
        session = {"Cookie": cookie.partition(";")[0]}
        page = self.send("GET", "/", **session)
        return {"session": session, "csrf": re.search('name="csrf" value="([0-9a-f]+)"', page.text).group(1)}

    def form_of(self, prompt: str, session: dict) -> dict:
        """The hidden fields of a question's form, as a browser would send them."""
        page = wait_for(lambda: (lambda answer: answer.status == 200 and answer)(
            self.send("GET", f"/updates/{prompt}", **session["session"])), "the question's page", PATIENCE_SECONDS)
        return dict(re.findall('type="hidden" name="([a-z0-9]+)" value="([^"]*)"', page.text.partition('action="/answer"')[2]))


@pytest.fixture
def page(story, request):  # noqa: F811
    if request.node.get_closest_marker("strangers_card"):
        # The wifi's card knows the key of somebody who approves nothing here, and its policy is to ask.
        story.cards["wifi"] = "stranger"
        story.device_flags["wifi"] = ["--approval-policy=ask-user"]
    return Page(story, tls=request.node.get_closest_marker("tls") is not None)


def decision_of(page: Page, ecu_serial: str) -> str:
    records = page.suite.ctl(OPERATOR, "consent", "records", "--gateway", GATEWAY)
    return next((record["decision"] for record in records if record["assignment"].endswith(ecu_serial)), "")


def test_a_resident_decides_at_the_display(page):
    # FOTA-T2, HOME-10: nothing is new, and it is said so.
    page.browse("nothing", "phone", "de-DE", words={
        "headline": "Es gibt nichts für Sie zu tun.", "nothing": "nichts Neues", "unknown": "camera weist nicht nach"})
    # What is announced and not launched is not for the user, and is not hidden from them either.
    page.publish(THERMOSTAT, WIFI)
    said = page.command("news", "--lang", "de")
    assert "nichts für Sie zu tun" in said and "acme hat Version 1.1.0 für thermostat angekündigt" in said
    rollout = page.launch(THERMOSTAT, WIFI)
    thermostat, wifi = page.prompt("thermostat-0001"), page.prompt("wifi-0001")
    # FOTA-F, FOTA-T1, HOME-8, PLUS-2.
    page.browse("accept", "phone", "en-GB", open=f"#open-{thermostat}",
                told=["Closes a weakness", "Nothing else changes.", "60 seconds", "does not answer while",
                      "Leave the device connected", "CVE-2026-1011", "as long as you keep it warm",
                      hashlib.sha256(TERMS.encode()).hexdigest()],
                words={"wrong": "The name or the PIN is wrong.", "taken": "Done: Install 1.1.0 on thermostat",
                       "succeeded": "thermostat was updated from 1.0.0 to 1.1.0."})
    assert decision_of(page, "thermostat-0001") == "DECISION_GRANTED"
    page.story.expect_version("thermostat-0001", "1.1.0")
    page.browse("postpone", "car", "de-DE", open=f"#open-{wifi}", words={"postponed": "Sie werden wieder gefragt"})
    assert decision_of(page, "wifi-0001") == "DECISION_DEFERRED"
    page.story.expect_version("wifi-0001", "1.3.0")
    page.browse("policy", "car", "en-US", words={"text": "with an urgency of at least high"})
    policies = page.suite.ctl(OPERATOR, "consent", "policies", "--gateway", GATEWAY)
    assert [policy["state"] for policy in policies] == ["STATE_WITHDRAWN"]

    # The terminal says the same in the same words.
    assert "thermostat was updated from 1.0.0 to 1.1.0. (resident-17 said yes)" in page.command("history", "--lang", "en")
    assert "Sie werden wieder gefragt" in page.command("progress", "--lang", "de")
    assert "Zurückgenommen" in page.command("policy", "list", "--lang", "de")
    page.suite.ctl(OPERATOR, "rollout", "abort", rollout)

    # What a manufacturer writes is nothing but text, at the page and at the terminal.
    page.publish(ILL_TOLD)
    page.launch(ILL_TOLD)
    prompt = page.prompt("thermostat-0001")
    page.browse("hostile", "car", "en-US", open=f"#open-{prompt}", told=["<script>window.pwned = 1</script>"])
    assert "\u202e" not in page.command("prompts", "--lang", "en")


def test_nobody_else_decides_at_the_display(page):
    page.publish(WIFI)
    page.launch(WIFI)
    prompt = page.prompt("wifi-0001")
    session = page.sign_in()
    answer = {**page.form_of(prompt, session), "decision": "accept"}
    mine = session["session"]

    # Not signed in: it can be read, and not answered.
    assert page.send("GET", f"/updates/{prompt}").status == 200
    refused = page.send("POST", "/answer", answer)
    assert refused.status == 303 and refused.getheader("Location") == "/login"
    # CSRF: another site's form, with the cookie that a browser would add.
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "", "Sec_Fetch_Site": "cross-site"},
                    {"Origin": page.url, "Sec_Fetch_Site": "same-site"}, {"Origin": ""},
                    {"Origin": page.url.replace("http:", "https:")}):
        assert page.send("POST", "/answer", answer, **mine, **headers).status == 403, headers
        assert page.send("POST", "/login", {"principal": RESIDENT, "pin": PIN}, **headers).status == 403, headers
    for csrf in ("", "0" * 64, answer["csrf"][:-1]):
        assert page.send("POST", "/answer", {**answer, "csrf": csrf}, **mine).status == 403
    # By GET nothing is done.
    assert page.send("GET", "/answer?" + urllib.parse.urlencode(answer), **mine).status == 404
    # DNS rebinding: the browser is at evil.example, which has the gateway's address by now.
    port = page.port.address.rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "127.0.0.1:1", f"localhost.:{port}"):
        assert page.status("/", Host=host) == 421, host
        assert page.send("POST", "/answer", answer, **mine, Host=host, Origin=f"http://{host}").status == 421, host
    assert page.status("/", Host=f"localhost:{port}") == 200
    # A text other than the one that stands in the question: somebody agrees to what was not shown.
    told = page.send("POST", "/answer", {**answer, "text": "0" * 64}, **mine)
    assert told.status == 303 and told.getheader("Location") == f"/updates/{prompt}"
    # Oversized and malformed.
    assert page.send("POST", "/login", {"principal": "x" * 20000, "pin": "y"}).status in (400, 413)
    assert page.status("/" + "a" * 5000) == 414
    assert page.send("PUT", "/answer", answer, **mine).status == 405
    for path in ("/static/en.json", "/static/../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/updates/../history", "/%00"):
        assert page.status(path) == 404, path
    # Nothing leads elsewhere after signing in.
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        answered = page.send("POST", "/login", {"principal": RESIDENT, "pin": PIN, "next": elsewhere})
        assert answered.getheader("Location") == "/", elsewhere
    # What a browser is told.
    home = page.send("GET", "/")
    policy = home.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert home.getheader("X-Content-Type-Options") == "nosniff" and home.getheader("Cache-Control") == "no-store"
    assert "<script>" not in home.text and " onclick" not in home.text and " style=" not in home.text

    # Many slow visitors at another address hold nobody up.
    held = [socket.create_connection(("127.0.0.1", int(port)), source_address=("127.0.0.2", 0)) for _ in range(100)]
    for connection in held:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"POST /answer HTTP/1.1\r\nHost: ")
    assert page.status("/") == 200
    for connection in held:
        connection.close()

    # Nothing of all that was an answer.
    assert json.loads(page.command("prompts", "--json"))[0]["state"] == "STATE_WAITING"

    # Wrong PINs: the fifth closes the door, also for the right one, also after a restart, and for nobody else.
    page.command("user", "add", "guest", given="161803\n")
    statuses = [page.send("POST", "/login", {"principal": "guest", "pin": f"{pin:06}"}).status for pin in range(8)]
    assert statuses[:5] == [403] * 5 and set(statuses[5:]) == {429}
    page.suite.restart_killed(GATEWAY)
    wait_for(lambda: page.status("/") == 200, "the page after a restart", PATIENCE_SECONDS)
    locked = page.send("POST", "/login", {"principal": "guest", "pin": "161803"})
    assert locked.status == 429 and int(locked.getheader("Retry-After")) > 5
    assert "161803" not in (page.suite.folder / "gateways" / GATEWAY / "principals.json").read_text()
    # The session did not survive; the right one, signed in anew, decides.
    assert page.send("POST", "/answer", answer, **mine).getheader("Location") == "/login"
    session = page.sign_in()
    done = page.send("POST", "/answer", {**page.form_of(prompt, session), "decision": "decline"}, **session["session"])
    assert done.status == 303 and done.getheader("Location") == "/"
    wait_for(lambda: decision_of(page, "wifi-0001") == "DECISION_DENIED", "the answer", PATIENCE_SECONDS)


@pytest.mark.tls
def test_an_answer_outlives_services_that_are_away_and_the_agents_death(page):
    page.publish(WIFI)
    rollout = page.launch(WIFI)
    prompt = page.prompt("wifi-0001")
    # Over TLS, and nothing else: what is said in the clear is not answered.
    clear = http.client.HTTPConnection(page.port.address, timeout=20)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        clear.request("GET", "/")
        clear.getresponse()
    session = page.sign_in()
    form = page.form_of(prompt, session)
    page.suite.processes["consent"].kill()
    started = time.monotonic()
    done = page.send("POST", "/answer", {**form, "decision": "accept"}, **session["session"])
    assert done.status == 303 and done.getheader("Location") == "/"
    # Whoever answers does not wait for a service that is away for longer than a moment.
    assert time.monotonic() - started < 8
    home = page.send("GET", "/", **session["session"], Accept_Language="en").text
    assert "this is kept here and sent when it is back" in home and f"open-{prompt}" not in home
    # And a check says that it cannot say anything.
    page.send("POST", "/check", {})
    wait_for(lambda: "could not be reached" in page.send("GET", "/live", Accept_Language="en").text, "the check's end",
             PATIENCE_SECONDS)
    page.suite.restart_killed(GATEWAY)
    wait_for(lambda: page.status("/") == 200, "the page after a restart", PATIENCE_SECONDS)
    assert "this is kept here" in page.send("GET", "/", Accept_Language="en").text
    page.suite.processes["consent"].start()
    page.suite.wait_ready("consent")
    page.story.expect_phase(rollout, "wifi-0001", "SUCCEEDED")
    assert decision_of(page, "wifi-0001") == "DECISION_GRANTED"
    wait_for(lambda: "this is kept here" not in page.send("GET", "/", Accept_Language="en").text, "the answer to be sent",
             PATIENCE_SECONDS)


@pytest.mark.strangers_card
def test_software_whose_approval_is_not_in_order_is_installed_only_for_a_user_who_insists(page):
    # SC-USE-7: no is the default, and the device keeps what it has.
    page.command("policy", "create", "--kind=security", f"--principal={RESIDENT}", "--lang=en")
    page.publish(WIFI)
    rollout = page.launch(WIFI)
    page.browse("confirm", "car", "en-US", install=False, words={"taken": "It will not be installed."})
    assert page.story.expect_phase(rollout, "wifi-0001", "FAILED")["failure_reason"] == "FAILURE_REASON_USER_REJECTED"
    page.story.expect_version("wifi-0001", "1.3.0")
    # Yes is reported: the server knows that a user insisted.
    page.publish(WIFI_AGAIN)
    rollout = page.launch(WIFI_AGAIN)
    page.browse("confirm", "phone", "de-DE", install=True, words={"taken": "auf Ihr Wort hin installiert"})
    page.story.expect_phase(rollout, "wifi-0001", "SUCCEEDED")
    page.story.expect_version("wifi-0001", "1.4.1")
    wifi = next(component for component in page.story.components() if component["ecu_serial"] == "wifi-0001")
    assert wifi["approval_result"] == "UNKNOWN_KEY" and wifi["approval_override"], wifi
