"""tools/cse_guard in front of a CSE that others wrote: ACME lets in whom the guard lets in, and nobody else."""

import datetime
import json
import ssl

import pytest

from suite import wait_for


def refused(answer, *words: str) -> None:
    assert (answer.status, answer.rsc) == (403, "4126"), answer
    assert answer.headers["x-m2m-ri"] == "r-1"
    for word in words:
        assert word in answer.debug, answer


def test_an_accepted_application_registers_and_works(home):
    # APPID-2, APPID-3, APPID-4, APPID-5
    app_id = home.register("lamp")
    certificate = home.certificate("lamp")
    answer = home.register_ae(certificate, app_id, "Clamp", lbl=["a\\", "//b", "c\"#;;/*", "Wärme"])
    assert (answer.status, answer.rsc) == (201, "2001"), answer
    assert answer.json()["m2m:ae"]["aei"] == "Clamp"
    # What the CSE has is what the guard understood, whatever shortcuts the CSE's parser takes.
    kept = json.loads(home.acme.ask("GET", "/cse-in/clamp")[1])["m2m:ae"]
    assert kept["api"] == app_id and kept["lbl"] == ["a\\", "//b", "c\"#;;/*", "Wärme"]

    created = home.send(certificate, "POST", "/cse-in/clamp", "Clamp", {"m2m:cnt": {"rn": "data"}}, "application/json;ty=3")
    assert created.status == 201, created
    stored = home.send(certificate, "POST", "/cse-in/clamp/data", "Clamp", {"m2m:cin": {"con": "21.5 °C"}},
                       "application/json;ty=4")
    assert stored.status == 201, stored
    read = home.send(certificate, "GET", "/cse-in/clamp/data/la", "Clamp")
    assert read.json()["m2m:cin"]["con"] == "21.5 °C"
    assert home.send(certificate, "DELETE", "/cse-in/clamp/data", "Clamp").status == 200


def test_the_cse_gives_an_ae_id_to_who_has_none(home):
    app_id = home.register("giver")
    certificate = home.certificate("giver")
    answer = home.send(certificate, "POST", "/cse-in", "C", {"m2m:ae": {"api": app_id, "rr": False, "srv": ["4"]}},
                       "application/json;ty=2")
    assert answer.status == 201, answer
    given = answer.json()["m2m:ae"]["aei"]
    # And the guard knows whose it is.
    stranger = home.send(home.certificate("lamp"), "GET", "/cse-in", given)
    assert (stranger.status, stranger.rsc) == (403, "4103"), stranger


def test_what_is_out_of_force_is_refused(home):
    # APPID-3, APPID-5
    app_id = home.register("suspended")
    certificate = home.certificate("suspended")
    home.suite.ctl("registrar/ara", "app-id", "suspend", app_id, "--reason", "its key was published")
    refused(home.register_ae(certificate, app_id, "Csuspended"), "SUSPENDED", app_id)
    assert not home.has_ae("Csuspended")
    home.suite.ctl("registrar/ara", "app-id", "reinstate", app_id, "--reason", "it has a new key")
    assert home.register_ae(certificate, app_id, "Csuspended").status == 201
    home.suite.ctl("registrar/ara", "app-id", "revoke", app_id, "--reason", "and lost that, too")
    refused(home.register_ae(certificate, app_id, "Csuspended2"), "REVOKED")
    history = home.suite.ctl("registrar/ara", "app-id", "history", app_id)
    assert [event["kind"] for event in history] == ["KIND_REVOKED", "KIND_REINSTATED", "KIND_SUSPENDED", "KIND_REGISTERED"]


def test_who_is_not_registered_is_refused(home):
    refused(home.register_ae(home.certificate("nobody"), "Ra01.com.acme.nobody", "Cnobody"), "NOT_REGISTERED")
    refused(home.register_ae(home.certificate("nobody"), "Nnobody", "Cnobody"), "NOT_GLOBALLY_UNIQUE")
    refused(home.register_ae(home.certificate("nobody"), "nobody", "Cnobody"), "APP_ID_MALFORMED")
    assert not home.has_ae("Cnobody")


def test_who_cannot_prove_who_it_is_is_refused(home):
    # APPID-2, APPID-3
    app_id = home.register("proof")
    home.register("thief")
    refused(home.register_ae(None, app_id, "Cproof"), "NO_CREDENTIAL")
    refused(home.register_ae(home.certificate("thief"), app_id, "Cproof"), "CREDENTIAL_OF_ANOTHER")
    refused(home.register_ae(home.certificate("proof", home.other_root), app_id, "Cproof"), "ROOT_OF_TRUST_DIFFERS")
    refused(home.register_ae(home.root.issue("anonymous"), app_id, "Cproof"), "CREDENTIAL_NAMES_NOBODY")
    refused(home.register_ae(home.root.issue("ae", f"urn:onem2m:api:{app_id}", "urn:onem2m:aei:Cother"), app_id, "Cproof"),
            "CREDENTIAL_OF_ANOTHER")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        home.register_ae(home.certificate("proof", home.unknown_root), app_id, "Cproof")
    assert not home.has_ae("Cproof")


def test_an_application_keeps_its_name_for_itself(home):
    app_id = home.register("owner")
    home.register("intruder")
    certificate = home.certificate("owner")
    assert home.register_ae(certificate, app_id, "Cowner").status == 201
    for originator in ("Cowner", "/id-in/Cowner", "//acme.example.com/id-in/Cowner"):
        for intruder in (home.certificate("intruder"), None):
            answer = home.send(intruder, "GET", "/cse-in/cowner", originator)
            assert (answer.status, answer.rsc) == (403, "4103"), answer
            assert "CREDENTIAL_OF_ANOTHER" in answer.debug
    # A renewed certificate stands for the same application.
    assert home.send(home.certificate("owner"), "GET", "/cse-in/cowner", "Cowner").status == 200


def test_a_class_needs_what_the_policy_says(home):
    # APPID-5
    critical = {"application_class": "APPLICATION_CLASS_CRITICAL_INFRASTRUCTURE"}
    app_id = home.register("valve", **critical)
    refused(home.register_ae(home.certificate("valve"), app_id, "Cvalve"), "SECURITY_TOO_WEAK")
    # One that promises an enclave, with a certificate of the authority that issues to enclaves only, and one without.
    app_id = home.register("pump", security_capability="SECURITY_CAPABILITY_SECURE_ELEMENT",
                           root_of_trust_sha256=home.hardware_root.sha256, **critical)
    refused(home.register_ae(home.certificate("pump"), app_id, "Cpump"), "ROOT_OF_TRUST_DIFFERS")
    assert home.register_ae(home.certificate("pump", home.hardware_root), app_id, "Cpump").status == 201


def test_an_application_gets_the_resources_of_its_profile(home):
    # APPID-7
    app_id = home.register("thermostat", application_type="thermostat")
    certificate = home.certificate("thermostat")
    answer = home.register_ae(certificate, app_id, "Cthermo")
    assert answer.status == 201, answer
    kept = json.loads(home.acme.ask("GET", "/cse-in/cthermo")[1])["m2m:ae"]
    policy = json.loads(home.acme.ask("GET", "/cse-in/acpThermostats")[1])["m2m:acp"]["ri"]
    assert any(acp.rpartition("/")[2] in (policy, "acpThermostats") for acp in kept["acpi"]), kept

    def create(ty: int, content: dict, path: str = "/cse-in/cthermo"):
        return home.send(certificate, "POST", path, "Cthermo", content, f"application/json;ty={ty}")

    answer = create(3, {"m2m:cnt": {"rn": "small"}})
    assert answer.status == 201, answer
    assert (answer.json()["m2m:cnt"]["mni"], answer.json()["m2m:cnt"]["mbs"]) == (5, 1000)
    assert create(3, {"m2m:cnt": {"rn": "smaller", "mni": 2}}).json()["m2m:cnt"]["mni"] == 2
    for content in ({"mni": 6}, {"mbs": 1001}, {"mni": -1}, {"mni": "5"}, {"mbs": None}):
        answer = create(3, {"m2m:cnt": {"rn": "large", **content}})
        assert answer.status == 403 and answer.rsc == "4103", (content, answer)
        assert "CONTAINER_TOO_LARGE" in answer.debug
    update = home.send(certificate, "PUT", "/cse-in/cthermo/small", "Cthermo", {"m2m:cnt": {"mni": 6}}, "application/json")
    assert "CONTAINER_TOO_LARGE" in update.debug
    assert home.send(certificate, "PUT", "/cse-in/cthermo/small", "Cthermo", {"m2m:cnt": {"mni": 3}},
                     "application/json").status == 200
    # A group is none of its types.
    answer = create(9, {"m2m:grp": {"rn": "group", "mnm": 5, "mid": []}})
    assert (answer.status, answer.rsc) == (403, "4103") and "RESOURCE_TYPE_NOT_GRANTED" in answer.debug
    assert json.loads(home.acme.ask("GET", "/cse-in/cthermo/small")[1])["m2m:cnt"]["mni"] == 3


def test_no_detour_leads_past_the_guard(home):
    certificate = home.certificate("nobody")
    evil = {"m2m:ae": {"api": "Nevil", "rr": False, "srv": ["4"], "rn": "cevil"}}
    good = home.register("decoy")
    text = json.dumps(evil)
    tries = [
        *(("POST", "/cse-in", kind, text, ()) for kind in (
            "application/json;TY=2", "application/json;ty=02", 'application/json;ty="2"', "application/json; ty =2",
            "application/json;ty=3;ty=2", "application/json;ty=2;ty=3", "application/json;x=2;ty=3", "application/json;ty=+2",
            "application/json;ty=2_", "application/jsonx;ty=2", "application/json", "text/plain;ty=2", "application/json;ty=3")),
        ("POST", "/cse-in?ty=2", "application/json;ty=3", text, ()),
        ("POST", "/cse-in", "application/json;ty=3", text, (("Content-Type", "application/json;ty=2"),)),
        ("POST", "/cse-in", "application/cbor;ty=2", b"\xa1fm2m:ae\xa4capieNevilbrr\xf4csrv\x81a4brnecevil", ()),
        ("PUT", "/cse-in", "application/json", text, (("X-HTTP-Method-Override", "POST"),)),
        ("PUT", "/cse-in", "application/json;ty=2", text, ()),
        ("PATCH", "/cse-in", "application/json;ty=2", text, ()),
        ("POST", "/cse-in/acpThermostats/fopt", "application/json;ty=2", text, ()),
        ("POST", "/cse-in", "application/json;ty=2", "\ufeff" + text, ()),
        ("POST", "/cse-in", "application/json;ty=2", text + "// comment", ()),
        ("POST", "/cse-in", "application/json;ty=2",
         text.replace('"api": "Nevil"', f'"api": "{good}", "api": "Nevil"'), ()),
        ("POST", "/cse-in", "application/json;ty=2", text, (("Content-Encoding", "gzip"),)),
        ("POST", "/cse-in", "application/json;ty=65",
         json.dumps({"m2m:trnm": {"rqps": [{"m2m:rqp": {"op": 1, "to": "cse-in", "ty": 2, "pc": evil}}]}}), ()),
        ("POST", "/cse-in", "application/json", json.dumps({"m2m:rqp": {"op": 1, "to": "cse-in", "ty": 2, "pc": evil}}), ()),
        ("POST", "/cse-in%2f", "application/json;ty=2", text, ()),
    ]
    for method, path, kind, body, headers in tries:
        answer = home.send(certificate, method, path, "Cevil", body, kind, headers)
        assert answer.status in (400, 403, 405, 415), (method, path, kind, body, answer)
        assert not home.has_ae("Cevil"), (method, path, kind, body, answer)


def test_no_second_request_hides_in_another(home):
    certificate = home.certificate("nobody")
    evil = json.dumps({"m2m:ae": {"api": "Nevil", "rr": False, "srv": ["4"], "rn": "cevil"}})
    hidden = ("POST /cse-in HTTP/1.1\r\nHost: cse\r\nX-M2M-Origin: Cevil\r\nX-M2M-RI: 1\r\nX-M2M-RVI: 4\r\n"
              f"Content-Type: application/json;ty=2\r\nContent-Length: {len(evil)}\r\n\r\n{evil}")
    front = "GET /cse-in HTTP/1.1\r\nHost: cse\r\nX-M2M-Origin: Cevil\r\nX-M2M-RI: 1\r\nX-M2M-RVI: 4\r\n"
    for framing in (
        f"Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n",
        f"Content-Length: {len(hidden)}\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\tchunked\r\nTransfer-Encoding: identity\r\n",
        f"Content-Length : {len(hidden)}\r\n",
        "X: y\nContent-Length: 0\r\n",
        f"Content-Length: +{len(hidden)}\r\n",
    ):
        with home.connect(certificate) as connection:
            connection.sendall((front + framing + "\r\n" + hidden).encode())
            received = b""
            while piece := connection.recv(65536):
                received += piece
        assert received.startswith(b"HTTP/1.1 400 "), (framing, received)
        assert received.count(b"HTTP/1.1") == 1, (framing, received)
        assert not home.has_ae("Cevil"), framing
    # A body that looks like a request is a body, and the request behind it is looked at for itself.
    with home.connect(certificate) as connection:
        connection.sendall((front + f"Connection: keep-alive\r\nContent-Type: text/plain\r\nContent-Length: {len(hidden)}\r\n\r\n"
                            + hidden + hidden.replace("keep-alive", "close")).encode())
        received = b""
        while received.count(b"HTTP/1.1 ") < 2:
            received += connection.recv(65536)
    assert b"HTTP/1.1 403 " in received and b"4126" in received, received
    assert not home.has_ae("Cevil")


def test_other_requests_pass_as_they_are(home):
    answer = home.send(None, "GET", "/cse-in?fu=1&ty=2&lbl=a%2Fb", "CAdmin")
    assert answer.status == 200 and answer.rsc == "2000", answer
    assert answer.headers["x-m2m-ri"] == "r-1"
    direct = home.acme.ask("GET", "/cse-in?fu=1&ty=2&lbl=a%2Fb")[1]
    assert answer.json() == json.loads(direct)
    assert home.send(None, "GET", "/cse-in/none", "CAdmin").status == 404
    assert home.send(None, "HEAD", "/cse-in", "CAdmin").body == ""


def test_metrics_and_logs_say_what_was_decided(home):
    app_id = home.register("measured")
    assert home.register_ae(home.certificate("measured"), app_id, "Cmeasured").status == 201
    refused(home.register_ae(None, app_id, "Cmeasured2"), "NO_CREDENTIAL")
    metrics = home.metrics()
    assert 'countersign_cse_guard_requests_total{kind="ae_creation",outcome="refused"}' in metrics
    assert 'countersign_cse_guard_requests_total{kind="ae_creation",outcome="passed"}' in metrics
    assert 'countersign_cse_guard_registry_answers_total{source="registry"}' in metrics
    lines = [json.loads(line) for line in home.guard.log.read_text(encoding="utf-8").splitlines()]
    assert any(line["message"] == "accepted" and line["app_id"] == app_id for line in lines)
    assert any(line["message"] == "refused" and "NO_CREDENTIAL" in line["why"] for line in lines)


def test_who_was_let_in_is_known_after_a_restart(home):
    app_id = home.register("lasting")
    certificate = home.certificate("lasting")
    assert home.register_ae(certificate, app_id, "Clasting").status == 201
    assert home.guard.stop() == 0
    home.guard.start()
    home.wait_guard()
    assert home.send(certificate, "GET", "/cse-in/clasting", "Clasting").status == 200
    assert home.send(home.certificate("lamp"), "GET", "/cse-in/clasting", "Clasting").status == 403


def test_without_the_registry_kept_answers_count_as_long_as_they_hold(home):
    # APPID-5: last, since the registry does not come back.
    kept = home.register("kept")
    kept_certificate = home.certificate("kept")
    tampered = home.register("tampered")
    tampered_certificate = home.certificate("tampered")
    swapped = home.register("swapped")
    swapped_certificate = home.certificate("swapped")
    critical = home.register("boiler", application_class="APPLICATION_CLASS_CRITICAL_INFRASTRUCTURE",
                             security_capability="SECURITY_CAPABILITY_SECURE_ELEMENT",
                             root_of_trust_sha256=home.hardware_root.sha256)
    critical_certificate = home.certificate("boiler", home.hardware_root)
    unheard = home.register("unheard")
    folder = home.state / "answers"
    answers = {}
    for app_id, certificate, originator in (
            (kept, kept_certificate, "Ckept"), (tampered, tampered_certificate, "Ctampered"),
            (swapped, swapped_certificate, "Cswapped"), (critical, critical_certificate, "Cboiler")):
        before = set(folder.iterdir())
        assert home.register_ae(certificate, app_id, originator).status == 201
        (answers[app_id],) = set(folder.iterdir()) - before
        assert home.acme.ask("DELETE", f"/cse-in/{originator.lower()}")[0] == 200
    # One whose registration, and with it the answer, ends soon.
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=15)
    ending = home.register("ending", not_after=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    ending_certificate = home.certificate("ending")
    assert home.register_ae(ending_certificate, ending, "Cending").status == 201
    assert home.acme.ask("DELETE", "/cse-in/cending")[0] == 200

    home.suite.processes["appid-registry"].kill()

    assert home.register_ae(kept_certificate, kept, "Ckept").status == 201
    assert 'registry_answers_total{source="kept"}' in home.metrics()
    refused(home.register_ae(home.certificate("unheard"), unheard, "Cunheard"), "REGISTRY_UNREACHABLE")
    refused(home.register_ae(home.certificate("kept"), kept, "Ckept2"), "REGISTRY_UNREACHABLE")
    refused(home.register_ae(critical_certificate, critical, "Cboiler"), "REGISTRY_UNREACHABLE")
    # Somebody with access to the guard's disk.
    document = answers[tampered].read_text(encoding="utf-8")
    changed = document.replace('"status":"REGISTERED"', '"status":"registered"')
    assert changed != document
    answers[tampered].write_text(changed, encoding="utf-8")
    refused(home.register_ae(tampered_certificate, tampered, "Ctampered"), "REGISTRY_UNREACHABLE")
    answers[swapped].write_bytes(answers[kept].read_bytes())
    refused(home.register_ae(swapped_certificate, swapped, "Cswapped"), "REGISTRY_UNREACHABLE")
    log = home.guard.log.read_text(encoding="utf-8")
    assert "SIGNATURE_INVALID" in log and "ANSWER_OF_ANOTHER" in log

    def over() -> bool:
        home.acme.ask("DELETE", "/cse-in/cending")
        return home.register_ae(ending_certificate, ending, "Cending").status == 403
    wait_for(over, "the kept answer to end", 60)
    refused(home.register_ae(ending_certificate, ending, "Cending"), "REGISTRY_UNREACHABLE")
    assert "ANSWER_EXPIRED" in home.guard.log.read_text(encoding="utf-8")
