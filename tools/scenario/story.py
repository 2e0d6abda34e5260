"""The whole path once: publish, approve, report, ask, launch, install, prove; and what must not happen.

Each method is one chapter, leaves the system working, and raises when something did not hold. tools/demo tells them one
after the other; tests put faults between them.
"""

import json
import pathlib
import shutil
import sys

from card import Card
from suite import CommandFailed, ReservedPort, Suite, wait_for
from world import ALTERED, APP_PROFILES, DEVICES, RELEASES, UNAPPROVED, WITHOUT_CONSENT, Device, Release

TOOLS = pathlib.Path(__file__).absolute().parents[1]
GATEWAYS = {"home-1": "home", "car-1": "vehicle"}
OPERATOR, AUTHORITY, REGISTRAR = "operator/ops", "authority/ma", "registrar/ara"
RESIDENT, DRIVER = "resident-17", "driver-4"
PATIENCE_SECONDS = 90


class Story:
    """The cast and their props. `say` is told each sentence for the newcomer."""

    def __init__(self, suite: Suite, say) -> None:
        self.suite = suite
        self.say = say
        self.before: dict[str, str] = {}
        self.refused: list[tuple[str, str]] = []
        # Programs that say whether a device's new image is well, by the device's id; without one it always is.
        self.health_checks: dict[str, str] = {}
        # Names of the keys on devices' smart cards, by the device's id; without one it checks no approvals.
        self.cards: dict[str, str] = {}
        # What an agent's and a device's `run` is given besides, by their ids.
        self.agent_flags: dict[str, list] = {}
        self.device_flags: dict[str, list] = {}
        self._role_files: dict[str, pathlib.Path] = {}
        self.backend = ReservedPort()

    # 0. The operator sets up.

    def set_up(self) -> None:
        suite = self.suite
        self.say("A development CA gives everyone a certificate: six services, operator, authority, manufacturers, gateways.")
        suite.init_pki()
        manufacturers = sorted({device.manufacturer for device in DEVICES})
        for identity in (OPERATOR, AUTHORITY, REGISTRAR, *(f"manufacturer/{name}" for name in manufacturers),
                         *(f"gateway/{name}" for name in GATEWAYS)):
            suite.issue(identity)
        self.say("A private PostgreSQL starts, and the key ceremony: root 3 of 5, targets 2 of 3, one key online per online role.")
        suite.start_services()
        for name in ("root-op-1", "root-op-2", "root-op-3", "root-ma-1", "root-ma-2", "targets-op-1", "targets-op-2",
                     "targets-ma-1", "director-root", "authority", *manufacturers):
            suite.create_key(name, "ed25519" if name.startswith("root") else "ecdsa-p256")
        self._write_roots(manufacturers)
        self.say("The six services start, each a process with its own database, and speak only over mutual TLS.")
        suite.launch(self.metadata("1.root.json"))
        suite.ctl(OPERATOR, "repository", "publish-root", self.metadata("1.root.json"))
        suite.ctl(OPERATOR, "repository", "publish-targets", self.metadata("targets.json"))
        suite.ctl(OPERATOR, "rollout", "publish-root", self.metadata("director-1.root.json"))

    def metadata(self, name: str) -> pathlib.Path:
        return self.suite.folder / "metadata" / name

    def _write_roots(self, manufacturers: list) -> None:
        suite = self.suite

        def keys(role: str, *names: str) -> list:
            """Whose a key is, its name says."""
            parties = {"op": "operator=", "ma": "authority="}
            return [f"--{role}-key={parties.get(name.partition('-')[2][:2], '')}{suite.public_key(name)}" for name in names]

        suite.offline("root", "create", "--out", self.metadata("1.root.json"),
                      *keys("root", "root-op-1", "root-op-2", "root-op-3", "root-ma-1", "root-ma-2"), "--root-threshold=3",
                      *keys("targets", "targets-op-1", "targets-op-2", "targets-ma-1"), "--targets-threshold=2",
                      *keys("snapshot", "snapshot"), *keys("timestamp", "timestamp"), f"--log-key={suite.log_vkey()}")
        suite.offline("metadata", "sign", self.metadata("1.root.json"),
                      *(f"--key={suite.key(name)}" for name in ("root-op-1", "root-op-2", "root-ma-1")))
        suite.offline("targets", "create", "--out", self.metadata("targets.json"), "--root", self.metadata("1.root.json"),
                      f"--authority-key={suite.public_key('authority')}",
                      *(f"--manufacturer={name}={suite.public_key(name)}" for name in manufacturers))
        suite.offline("metadata", "sign", self.metadata("targets.json"), "--under", self.metadata("1.root.json"),
                      f"--key={suite.key('targets-op-1')}", f"--key={suite.key('targets-ma-1')}")
        suite.offline("root", "create", "--out", self.metadata("director-1.root.json"), *keys("root", "director-root"),
                      *keys("targets", "director-targets"), *keys("snapshot", "director-snapshot"),
                      *keys("timestamp", "director-timestamp"))
        suite.offline("metadata", "sign", self.metadata("director-1.root.json"), f"--key={suite.key('director-root')}")

    # 1. Manufacturers publish, the authority approves, App-IDs are registered.

    def publish(self) -> None:
        suite = self.suite
        for profile in APP_PROFILES:
            path = suite.folder / f"{profile['application_type']}.profile.json"
            path.write_text(json.dumps(profile), encoding="utf-8")
            suite.ctl(REGISTRAR, "appid", "register", path)
        self.say("The App-ID Registration Authority registers the applications of both manufacturers.")

        suite.ctl(OPERATOR, "manufacturer", "create", "acme", "--display-name", "Acme Devices")
        acme = [release for release in RELEASES if release.manufacturer == "acme"]
        self.push(acme)
        self.say(f"Acme pushes {len(acme)} images, signs what it offers, and announces the releases.")

        self.start_backend([release for release in RELEASES if release.manufacturer == "zenith"])
        suite.ctl(OPERATOR, "manufacturer", "create", "zenith", "--display-name", "Zenith Automotive",
                  "--backend", self.backend.address)
        self.refresh("zenith")
        self.say("Zenith is asked by liaison: its Python backend hands over releases, images and its signature.")

        for proposal in suite.ctl(AUTHORITY, "proposal", "list", "--state", "waiting"):
            suite.ctl(AUTHORITY, "proposal", "approve", proposal["name"], "--key", suite.key("authority"))
        packages = {package["target_path"] for package in suite.ctl(OPERATOR, "package", "list")}
        expected = {release.target_path for release in RELEASES}
        if packages != expected:
            raise RuntimeError(f"published are {sorted(packages)}, and not {sorted(expected)}")
        self.say(f"The Management Authority examines and countersigns: {len(packages)} packages are published, two signatures each.")
        self.verify_log()

    def verify_log(self) -> None:
        """Anybody's check that what is published is in the public log, all of it and nothing else."""
        suite = self.suite
        said = suite.run(suite.binary("tools/ctl/countersign"), "--config", suite.config(OPERATOR), "log", "verify",
                         "--root", self.metadata("1.root.json"), "--state", suite.folder / "log.state")
        self.say(f"Nothing of it can stay unseen. {said.strip()}")

    def release_file(self, release: Release) -> pathlib.Path:
        """The release in JSON, with the length and digest of its image."""
        plain = self.suite.folder / "releases" / f"{release.id}.plain.json"
        plain.parent.mkdir(exist_ok=True)
        plain.write_text(json.dumps(release.json()), encoding="utf-8")
        full = plain.with_name(f"{release.id}.json")
        self.suite.offline("metadata", "release", plain, "--image", release.image, "--out", full)
        return full

    def sign_role(self, releases: list, key: str = "") -> pathlib.Path:
        """The next version of the manufacturer's role metadata with `releases` added, signed by the manufacturer."""
        manufacturer = releases[0].manufacturer
        previous = self._role_files.get(manufacturer)
        version = 1 if previous is None else json.loads(previous.read_text())["signed"]["version"] + 1
        out = self.metadata(f"{manufacturer}-{version}.json")
        self.suite.offline("metadata", "role", "--out", out, f"--version={version}",
                           *(f"--release={self.release_file(release)}" for release in releases),
                           *([f"--previous={previous}"] if previous else []))
        self.suite.offline("metadata", "sign", out, f"--key={self.suite.key(key or manufacturer)}")
        return out

    def push(self, releases: list) -> dict:
        """Uploads, proposes and announces as the manufacturer; returns the proposal."""
        suite, manufacturer = self.suite, releases[0].manufacturer
        identity = f"manufacturer/{manufacturer}"
        for release in releases:
            suite.ctl(identity, "image", "upload", manufacturer, release.image)
        role = self.sign_role(releases)
        proposal = suite.ctl(identity, "proposal", "create", manufacturer, role)
        self._role_files[manufacturer] = role
        for release in releases:
            suite.ctl(identity, "release", "create", self.release_file(release))
        return proposal

    def start_backend(self, releases: list) -> None:
        """Zenith's backend, with a catalogue of `releases`."""
        suite = self.suite
        catalog = suite.folder / "zenith-catalog"
        (catalog / "images").mkdir(parents=True)
        (catalog / "releases").mkdir()
        for release in releases:
            full = self.release_file(release)
            digest = json.loads(full.read_text())["info"]["image"]["sha256"]
            shutil.copy(release.image, catalog / "images" / digest)
            shutil.copy(full, catalog / "releases" / f"{release.id}.json")
        self._role_files["zenith"] = self.sign_role(releases)
        shutil.copy(self._role_files["zenith"], catalog / "role.json")
        backend = suite.start("zenith-backend", [
            "/usr/bin/python3", TOOLS / "oem_backend" / "oem_backend.py", "--manufacturer=zenith",
            f"--catalog={catalog}", f"--listen={self.backend.address}", f"--port-file={suite.folder / 'zenith.port'}",
            *(flag.replace("--tls-", "--") for flag in suite.tls_flags("manufacturer/zenith")),
        ])
        wait_for(lambda: backend.check() or (suite.folder / "zenith.port").exists(), "zenith's backend", PATIENCE_SECONDS)

    def refresh(self, manufacturer: str) -> None:
        suite = self.suite
        suite.ctl(OPERATOR, "manufacturer", "refresh", manufacturer)

        def answered() -> bool:
            state = suite.ctl(OPERATOR, "manufacturer", "show", manufacturer)
            if state["last_refresh_state"] == "REFRESH_STATE_FAILED":
                raise RuntimeError(f"{manufacturer}'s backend: {state['last_refresh_error']}")
            return state["last_refresh_state"] == "REFRESH_STATE_SUCCEEDED"

        wait_for(answered, f"the answer of {manufacturer}'s backend", PATIENCE_SECONDS)

    # 2. The gateways report what their devices run, signed.

    def report(self) -> None:
        suite = self.suite
        for gateway, kind in GATEWAYS.items():
            suite.create_key(f"{gateway}-manifest")
            suite.create_key(f"{gateway}-proxy")
            suite.ctl(OPERATOR, "gateway", "create", gateway, "--kind", kind,
                      "--key", suite.public_key(f"{gateway}-manifest"), "--proxy-key", suite.public_key(f"{gateway}-proxy"))
        for device in DEVICES:
            self.provision(device)
            self.start_device(device)
        for gateway in GATEWAYS:
            suite.start(gateway, [*self.gateway_command(gateway), "run", "--check-in-interval=1",
                                  *self.agent_flags.get(gateway, ())])
        self.say("A home with four devices and a vehicle with three ECUs come up; their gateways find them and ask for signed reports.")

        expected = {device.ecu_serial: "STATE_COMPROMISED" if device.impostor else
                    "STATE_PROXIED" if device.constrained else "STATE_VERIFIED" for device in DEVICES}
        wait_for(lambda: {c["ecu_serial"]: c["state"] for c in self.components()} == expected,
                 f"the reports of all devices ({expected})", PATIENCE_SECONDS)
        self.before = {device.ecu_serial: device.factory_version for device in DEVICES}
        self.say("Six prove what they run. The camera signs with a key that the inventory does not know: it counts as compromised.")

    def components(self) -> list:
        return self.suite.ctl(OPERATOR, "device", "components")

    def lan(self, gateway: str) -> pathlib.Path:
        # A Unix socket's path has to be short.
        folder = self.suite.folder / "lan" / gateway
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def make_device(self, device: Device) -> pathlib.Path:
        """A device as it leaves the factory: nobody knows it yet. Returns its description."""
        suite = self.suite
        home = suite.folder / "devices" / device.id
        home.parent.mkdir(exist_ok=True)
        suite.run(suite.binary("tools/device/device"), "provision", f"--dir={home}", f"--device-id={device.id}",
                  f"--manufacturer={device.manufacturer}", f"--model={device.model}", "--hardware-version=1",
                  f"--component={device.ecu_serial}:{device.hardware_id}", f"--factory-image={device.factory_image}",
                  f"--factory-version={device.factory_version}",
                  *(["--constrained"] if device.constrained else []),
                  *([f"--app-id={device.app_id}"] if device.app_id else []))
        return home / "device.json"

    def provision(self, device: Device) -> None:
        suite = self.suite
        description = self.make_device(device)
        if device.impostor:
            described = json.loads(description.read_text())
            suite.create_key(f"{device.id}-genuine")
            described["components"][0]["public_key_pem"] = suite.public_key(f"{device.id}-genuine").read_text()
            description = suite.folder / f"{device.id}.json"
            description.write_text(json.dumps(described))
        suite.ctl(OPERATOR, "device", "create", "--gateway", device.gateway, description)

    def start_device(self, device: Device) -> None:
        suite = self.suite
        reader, card = [], []
        if device.id in self.cards:
            inserted = Card(suite.folder / "cards" / device.id, suite.public_key(self.cards[device.id]))
            reader, card = inserted.reader, [f"--card={inserted.uri}"]
        suite.start(device.id, [
            *reader, suite.binary("tools/device/device"), "run", f"--dir={suite.folder / 'devices' / device.id}",
            f"--lan={self.lan(device.gateway)}", f"--director-root={self.metadata('director-1.root.json')}",
            f"--image-root={self.metadata('1.root.json')}",
            *([f"--health-check={self.health_checks[device.id]}"] if device.id in self.health_checks else []),
            *card, *self.device_flags.get(device.id, ()),
        ])

    def gateway_command(self, gateway: str, identity: str = "") -> list:
        """The gateway agent with its flags; its subcommand follows."""
        suite = self.suite
        path = suite.folder / f"{gateway}-agent.toml"
        if not path.exists():
            state = suite.folder / "gateways" / gateway
            state.mkdir(parents=True)
            flags = [
                f"--id={gateway}", f"--dir={state}", f"--lan={self.lan(gateway)}", *suite.tls_flags(identity or f"gateway/{gateway}"),
                *(f"--{name}-address={suite.addresses(name)}" for name in ("inventory", "rollout", "package-store", "consent", "liaison")),
                f"--director-root={self.metadata('director-1.root.json')}", f"--image-root={self.metadata('1.root.json')}",
                f"--key={suite.key(f'{gateway}-manifest')}", f"--proxy-key={suite.key(f'{gateway}-proxy')}",
            ]
            path.write_text("".join(flag[2:].replace("=", ' = "', 1) + '"\n' for flag in flags), encoding="utf-8")
        return [suite.binary("tools/gateway/gateway"), f"--config={path}"]

    # 3. The operator creates and launches a rollout; users consent; devices install and prove it.

    def launch(self) -> str:
        """Creates and launches the rollout of all releases; returns its name."""
        suite = self.suite
        suite.run(*self.gateway_command("home-1"), "policy", "create", "--kind=security", f"--principal={RESIDENT}")
        self.say("At home a standing policy says yes to security updates; in the vehicle the driver will be asked.")
        rollout = self.create_rollout("Security updates of autumn", RELEASES)
        suite.ctl(OPERATOR, "rollout", "start", rollout)
        self.say("The operator plans a rollout of all releases and launches it.")
        return rollout

    def create_rollout(self, display_name: str, releases, *flags) -> str:
        suite = self.suite
        created = suite.ctl(OPERATOR, "rollout", "create", display_name,
                            *(f"--release={release.name}" for release in releases), *flags)
        suite.ctl(OPERATOR, "rollout", "wait", created["name"], "--until=READY", f"--for={PATIENCE_SECONDS}")
        return created["name"]

    def answer_prompts(self, gateway: str, principal: str, answer: str, count: int) -> None:
        """Waits until `count` questions are at the gateway's display, and answers them."""
        suite = self.suite

        def prompts() -> list:
            waiting = json.loads(suite.run(*self.gateway_command(gateway), "prompts", "--json"))
            return waiting if len(waiting) >= count else []

        for prompt in wait_for(prompts, f"{count} questions to the user of {gateway}", PATIENCE_SECONDS):
            suite.run(*self.gateway_command(gateway), "answer", prompt["name"], answer, f"--principal={principal}")

    def consent_in_vehicle(self) -> None:
        self.answer_prompts("car-1", DRIVER, "accept", 3)
        self.say("The driver reads purpose, duration and what to do on the car's display, and accepts all three.")

    def complete(self, rollout: str) -> None:
        """Waits until every device that proved itself runs, by its own signature, what the rollout gave it."""
        after = {release.hardware_id: release.version for release in RELEASES}
        expected = {device.ecu_serial: device.factory_version if device.impostor else after[device.hardware_id]
                    for device in DEVICES}

        def versions() -> dict:
            # An impostor's report is never accepted: what it runs is not known.
            return {c["ecu_serial"]: c.get("installed", {}).get("version") or expected[c["ecu_serial"]]
                    for c in self.components()}

        wait_for(lambda: versions() == expected, f"all devices to run {expected}", PATIENCE_SECONDS)
        wait_for(lambda: all(a["phase"] == "UPDATE_PHASE_SUCCEEDED" for a in self.assignments(rollout)
                             if a["ecu_serial"] != "camera-0001"),
                 "all assignments to be completed by signed reports", PATIENCE_SECONDS)
        self.say("Each device verified, installed, restarted, and proved with its own signature what it runs now: complete.")

    def assignments(self, rollout: str) -> list:
        return self.suite.ctl(OPERATOR, "rollout", "assignments", rollout)

    # 4. What must not happen.

    def refuse(self, what: str, attempt, *reasons: str) -> None:
        """`attempt` must be refused, for one of `reasons`."""
        try:
            attempt()
        except CommandFailed as refusal:
            if not any(reason in str(refusal) for reason in reasons):
                raise RuntimeError(f"{what}: refused, and not for {' or '.join(reasons)}: {refusal}") from refusal
            self.note_refusal(what, str(refusal))
            return
        raise RuntimeError(f"{what}: it was NOT refused")

    def note_refusal(self, what: str, why: str) -> None:
        # The last line is the error; lines of the log may stand before it.
        why = why.strip().splitlines()[-1].removeprefix("countersign: ").removeprefix("countersign-gateway: ")
        self.refused.append((what, why))
        self.say(f"Tried: {what}. Refused: {why}")

    def try_wrong_signature(self) -> None:
        suite = self.suite
        suite.ctl("manufacturer/acme", "image", "upload", "acme", ALTERED.image)
        forged = self.sign_role([ALTERED], key="root-op-1")
        self.refuse("an image whose metadata somebody else signed",
                    lambda: suite.ctl("manufacturer/acme", "proposal", "create", "acme", forged),
                    "UNKNOWN_KEY", "SIGNATURE_INVALID", "THRESHOLD_NOT_MET")

    def try_unapproved(self) -> None:
        suite = self.suite
        proposal = self.push([UNAPPROVED])
        suite.ctl(AUTHORITY, "proposal", "refuse", proposal["name"], "--reason", "The advisory lacks a CVE of the boot loader.")
        # What was refused is not the base of the next proposal.
        version = proposal["role_version"]
        version = int(version) - 1
        self._role_files["acme"] = self.metadata(f"acme-{version}.json")
        rollout = self.create_rollout("Not approved", [UNAPPROVED])
        self.refuse("a release that the Management Authority refused",
                    lambda: suite.ctl(OPERATOR, "rollout", "start", rollout), "NOT_APPROVED")
        suite.ctl(OPERATOR, "rollout", "abort", rollout)

    def try_without_consent(self) -> None:
        suite = self.suite
        proposal = self.push([WITHOUT_CONSENT])
        suite.ctl(AUTHORITY, "proposal", "approve", proposal["name"], "--key", suite.key("authority"))
        rollout = self.create_rollout("New functions", [WITHOUT_CONSENT])
        suite.ctl(OPERATOR, "rollout", "start", rollout)
        self.answer_prompts("home-1", RESIDENT, "decline", 1)
        assignment = self.expect_phase(rollout, "thermostat-0001", "CANCELLED")
        self.expect_version("thermostat-0001", "1.1.0")
        self.note_refusal("a new function that the policy does not cover and the resident declines",
                          f"the resident said no ({assignment['failure_reason']}); the thermostat stays on 1.1.0")

    def try_revoked(self) -> None:
        """After try_without_consent(), and last of those that publish: acme's role lists the revoked path until it is taken out."""
        suite = self.suite
        rollout = self.create_rollout("New functions, once more", [WITHOUT_CONSENT])
        suite.ctl(OPERATOR, "rollout", "start", rollout)
        self.expect_phase(rollout, "thermostat-0001", "AWAITING_CONSENT")
        suite.ctl(AUTHORITY, "package", "revoke", WITHOUT_CONSENT.target_path, "--reason", "It leaks the resident's habits.",
                  "--key", suite.key("authority"))
        assignment = self.expect_phase(rollout, "thermostat-0001", "CANCELLED")
        if assignment["failure_reason"] != "FAILURE_REASON_NOT_APPROVED":
            raise RuntimeError(f"what was revoked was cancelled for {assignment['failure_reason']}")
        self.expect_version("thermostat-0001", "1.1.0")
        self.note_refusal("an approved package that the Management Authority takes back while the resident is being asked",
                          f"{assignment['failure_detail']} The thermostat stays on 1.1.0")

    def try_altered_image(self) -> None:
        suite = self.suite
        proposal = self.push([ALTERED])
        suite.ctl(AUTHORITY, "proposal", "approve", proposal["name"], "--key", suite.key("authority"))
        digest = json.loads(self.release_file(ALTERED).read_text())["info"]["image"]["sha256"]
        blob = next(path for path in (suite.folder / "blobs").rglob(f"*{digest}*") if path.is_file())
        mode = blob.stat().st_mode
        blob.chmod(mode | 0o200)
        with open(blob, "r+b") as file:
            file.seek(1000)
            byte = file.read(1)
            file.seek(1000)
            file.write(bytes([byte[0] ^ 1]))
        rollout = self.create_rollout("Altered on its way", [ALTERED])
        suite.ctl(OPERATOR, "rollout", "start", rollout)
        assignment = self.expect_phase(rollout, "wifi-0001", "FAILED")
        if assignment["failure_reason"] != "FAILURE_REASON_INTEGRITY":
            raise RuntimeError(f"the altered image failed for {assignment['failure_reason']}: {assignment['failure_detail']}")
        self.expect_version("wifi-0001", "1.4.0")
        self.note_refusal("an approved image with one bit flipped on its way",
                          f"{assignment['failure_detail']}; the wifi stays on 1.4.0")

    def try_other_home(self) -> None:
        suite = self.suite
        self.refuse("home-1 reads the policies of car-1",
                    lambda: suite.ctl("gateway/home-1", "consent", "policies", "--gateway", "car-1"), "PERMISSION_DENIED")
        impostor = self.suite.folder / "impostor"
        shutil.copytree(suite.folder / "gateways" / "car-1", impostor)
        config = (suite.folder / "car-1-agent.toml").read_text().replace("gateway-car-1", "gateway-home-1")
        path = suite.folder / "impostor.toml"
        path.write_text(config.replace(str(suite.folder / "gateways" / "car-1"), str(impostor)))
        self.refuse("home-1 hands in a manifest of car-1",
                    lambda: suite.run(suite.binary("tools/gateway/gateway"), f"--config={path}", "report"),
                    "GATEWAY_MISMATCH", "PERMISSION_DENIED")

    def try_other_hardware(self) -> None:
        suite = self.suite
        release = next(release for release in RELEASES if release.component == "telematics")
        rollout = suite.ctl(OPERATOR, "rollout", "create", "For other hardware", f"--release={release.name}",
                            '--filter=ecu_serial = "settop-0001"')["name"]
        wait_for(lambda: suite.ctl(OPERATOR, "rollout", "show", rollout)["state"] != "STATE_PLANNING", "the plan",
                 PATIENCE_SECONDS)
        if self.assignments(rollout):
            raise RuntimeError("the set-top box was given an image for telematics hardware")
        self.note_refusal("an image for telematics hardware on the set-top box",
                          "the plan has no component that it fits")

    def expect_phase(self, rollout: str, ecu_serial: str, phase: str) -> dict:
        """Waits for an assignment's phase, and returns the assignment."""

        def there() -> dict | None:
            return next((a for a in self.assignments(rollout)
                         if a["ecu_serial"] == ecu_serial and a["phase"] == f"UPDATE_PHASE_{phase}"), None)

        return wait_for(there, f"{ecu_serial} to be {phase}", PATIENCE_SECONDS)

    def expect_version(self, ecu_serial: str, version: str) -> None:
        runs = {c["ecu_serial"]: c["installed"]["version"] for c in self.components() if "installed" in c}
        if runs[ecu_serial] != version:
            raise RuntimeError(f"{ecu_serial} runs {runs[ecu_serial]} and not {version}")

    # 5. The end.

    def table(self, rollout: str) -> list:
        """One row for each device: before, after, who signed, approved, consented, launched."""
        launched_by = self.suite.ctl(OPERATOR, "rollout", "show", rollout)["launched_by"]
        assignments = {a["ecu_serial"]: a for a in self.assignments(rollout)}
        components = {c["ecu_serial"]: c for c in self.components()}
        rows = [("DEVICE", "GATEWAY", "BEFORE", "AFTER", "STATE", "SIGNED", "APPROVED", "CONSENTED", "LAUNCHED")]
        for device in DEVICES:
            component = components[device.ecu_serial]
            assignment = assignments.get(device.ecu_serial)
            done = assignment is not None and assignment["phase"] == "UPDATE_PHASE_SUCCEEDED"
            rows.append((
                device.id, device.gateway, self.before[device.ecu_serial],
                component.get("installed", {}).get("version") or "not proved",
                component["state"].removeprefix("STATE_").lower(),
                f"manufacturer/{device.manufacturer}" if done else "-",
                assignment["approved_by"] if done else "-",
                assignment["consented_by"] if done else "-",
                launched_by if done else "-",
            ))
        return rows


def print_table(rows: list, out=sys.stdout) -> None:
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip(), file=out)
