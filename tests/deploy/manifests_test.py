"""What deploy/ ships is what Kubernetes, cert-manager, Prometheus and Grafana take, strictly: an unknown field is an error."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

DEPLOY = pathlib.Path("deploy").absolute()
SERVICES = {"appid-registry", "consent", "inventory", "liaison", "package-store", "rollout"}


@pytest.fixture(scope="module")
def modules() -> pathlib.Path:
    path = os.environ.get("COUNTERSIGN_NPM")
    assert path, "run this through tools/test, which installs the schemas"
    return pathlib.Path(path) / "node_modules"


@pytest.fixture(scope="module", params=["base", "overlays/s3"])
def resources(request, tmp_path_factory) -> list:
    # kustomize does not follow the links of a test's tree.
    tree = tmp_path_factory.mktemp("kustomize") / "kubernetes"
    shutil.copytree(DEPLOY / "kubernetes", tree)
    rendered = subprocess.run(["kubectl", "kustomize", str(tree / request.param)], capture_output=True, text=True, check=False,
                              env={**os.environ, "HOME": str(tree.parent)})
    assert rendered.returncode == 0, rendered.stderr
    return [document for document in yaml.safe_load_all(rendered.stdout) if document]


def of_kind(resources: list, kind: str) -> dict:
    return {resource["metadata"]["name"]: resource for resource in resources if resource["kind"] == kind}


def type_check(modules: pathlib.Path, folder: pathlib.Path, source: str) -> str:
    """What TypeScript says against `source`: literals must have all fields of their type, and no other."""
    (folder / "node_modules").symlink_to(modules)
    (folder / "check.ts").write_text(source, encoding="utf-8")
    result = subprocess.run(
        ["node", str(modules / "typescript" / "bin" / "tsc"), "--noEmit", "--strict", "--skipLibCheck",
         "--module", "nodenext", "--moduleResolution", "nodenext", "check.ts"],
        cwd=folder, capture_output=True, text=True, check=False)
    assert (result.returncode == 0) == (result.stdout == ""), result.stderr
    return result.stdout


def as_typescript(resources: list) -> str:
    lines = []
    for i, resource in enumerate(resources):
        package = "@kubernetes-models/cert-manager" if "cert-manager.io" in resource["apiVersion"] else "kubernetes-models"
        lines.append(f"import type {{ I{resource['kind']} as T{i} }} from "
                     f"\"{package}/{resource['apiVersion']}/{resource['kind']}\";")
        lines.append(f"export const resource{i}: T{i} = {json.dumps(resource)};")
    return "\n".join(lines)


def test_each_manifest_has_the_fields_of_its_type_and_no_other(modules, resources, tmp_path):
    assert type_check(modules, tmp_path, as_typescript(resources)) == ""


def test_a_misspelt_field_is_found(modules, resources, tmp_path):
    broken = json.loads(json.dumps(of_kind(resources, "Deployment")["rollout"]))
    container = broken["spec"]["template"]["spec"]["containers"][0]
    container["readynessProbe"] = container.pop("readinessProbe")
    assert "readynessProbe" in type_check(modules, tmp_path, as_typescript([broken]))


def test_each_manifest_passes_its_schema(modules, resources, tmp_path):
    script = tmp_path / "validate.js"
    (tmp_path / "node_modules").symlink_to(modules)
    script.write_text("""
const resources = JSON.parse(require("fs").readFileSync(0));
for (const resource of resources) {
  const pack = resource.apiVersion.includes("cert-manager.io") ? "@kubernetes-models/cert-manager" : "kubernetes-models";
  const Model = require(`${pack}/${resource.apiVersion}/${resource.kind}`)[resource.kind];
  try { new Model(resource).validate(); } catch (error) { console.log(resource.kind, resource.metadata.name, error.message); }
}
console.log("checked", resources.length);
""", encoding="utf-8")
    result = subprocess.run(["node", str(script)], input=json.dumps(resources), capture_output=True, text=True, check=False)
    assert result.stdout == f"checked {len(resources)}\n", result.stdout + result.stderr


def test_each_service_runs_without_rights_and_with_probes(resources):
    deployments = of_kind(resources, "Deployment")
    assert set(deployments) == SERVICES
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert {"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys()


def test_nothing_speaks_unless_a_policy_opens_it(resources):
    policies = of_kind(resources, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert SERVICES | {"postgres"} <= set(policies)


def test_each_certificate_says_the_identity_that_peers_expect(resources):
    certificates = of_kind(resources, "Certificate")
    for service in SERVICES:
        assert certificates[service]["spec"]["uris"] == [f"spiffe://countersign.example/service/{service}"]


def test_each_flag_of_a_deployment_is_one_that_its_service_has(resources):
    for name, deployment in of_kind(resources, "Deployment").items():
        module = name.replace("-", "_")
        flags = subprocess.run([f"services/{module}/{module}", "--help"], capture_output=True, text=True, check=True).stdout
        for variable in deployment["spec"]["template"]["spec"]["containers"][0]["env"]:
            flag = "--" + variable["name"].removeprefix("COUNTERSIGN_").lower().replace("_", "-")
            assert flag in flags, f"{name} has no flag {flag}"


def test_the_dashboard_is_one_that_grafana_knows(modules, tmp_path):
    dashboard = (DEPLOY / "grafana" / "dashboards" / "rollout-status.json").read_text(encoding="utf-8")
    source = f'import type {{ Dashboard }} from "@grafana/schema";\nexport const dashboard: Dashboard = {dashboard};'
    assert type_check(modules, tmp_path, source) == ""


def test_prometheus_takes_its_configuration():
    result = subprocess.run(["promtool", "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_alert_is_about_a_metric_that_a_service_has():
    alerts = DEPLOY / "prometheus" / "inventory-alerts.yml"
    result = subprocess.run(["promtool", "check", "rules", str(alerts)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    program = pathlib.Path("services/inventory/inventory").read_bytes()
    rules = [rule for group in yaml.safe_load(alerts.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    names = {name for rule in rules for name in re.findall(r"countersign_\w+", rule["expr"])}
    assert len(names) >= 5
    for name in names:
        assert name.encode() in program, f"no metric {name}"
