"""deploy/ and .github/ by the linters of their formats, and the chart by Helm itself.

The tools are the extra `deploy` of pyproject.toml, which `.ci/run` installs.
"""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gql_identity.settings import Settings
from tests.conftest import missing_tool

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
KUBERNETES = ("1.28", "1.37")  # the oldest and the newest that the schemas are there for


def lint(tool: str, *arguments: str | Path) -> None:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(tool, path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        missing_tool(tool)
    done = subprocess.run([str(found), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def module(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        missing_tool(name)
    return importlib.import_module(name)


def test_the_dockerfile_has_no_fault_that_hadolint_finds() -> None:
    lint("hadolint", DEPLOY / "Dockerfile")


def test_the_yaml_files_are_well_formed() -> None:
    rules = "{extends: default, rules: {line-length: {max: 120}, document-start: disable, truthy: {check-keys: false}, "
    rules += "comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}"
    lint("yamllint", "--strict", "--config-data", rules, DEPLOY / "compose.yaml", CHART / "values.yaml", *WORKFLOWS)


def test_the_compose_file_fits_its_schema_and_brings_up_three_members() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    members = [name for name, service in services.items() if "--replSet rs0" in str(service.get("entrypoint"))]
    assert members == ["mongo1", "mongo2", "mongo3"]
    assert services["api"]["read_only"]
    assert services["api"]["tmpfs"] == ["/tmp:size=64m"]


def test_the_pod_for_exports_fits_its_schema_and_has_what_the_chart_s_pods_have() -> None:
    texts = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), re.S)
    [text] = [text for text in texts if "kind:" in text]
    pod = yaml.safe_load(text)
    assert pod["kind"] == "Pod"
    for version in KUBERNETES:
        module("kubernetes_validate").validate(pod, version, strict=True)
    of_the_chart = rendered({})["Deployment"]["spec"]["template"]["spec"]
    for name in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
        assert pod["spec"][name] == of_the_chart[name]
    (container,), (of_the_service,) = pod["spec"]["containers"], of_the_chart["containers"]
    assert container["securityContext"] == of_the_service["securityContext"]
    assert container["volumeMounts"] == of_the_service["volumeMounts"]
    files = [one for one in of_the_service["env"] if one["name"].endswith("_FILE")]
    assert container["env"] == files
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    assert volumes["secrets"] in of_the_chart["volumes"]
    assert "emptyDir" not in volumes["tmp"]


def test_the_workflows_fit_their_schema_and_have_no_fault_that_zizmor_finds() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    lint("zizmor", "--offline", "--no-progress", "--persona", "pedantic", *WORKFLOWS)


def test_a_workflow_that_runs_the_tests_without_their_tools_lets_them_be_skipped() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"] if "run" in step]
    assert any(step["run"] == "bash .ci/run" for step in steps)
    # GitHub sets CI=true, with which a missing tool fails its tests.
    assert [step["env"]["CI"] for step in steps if step["run"] == "make test"] == ["false"]


def test_the_unit_is_one_that_systemd_reads_and_confines_the_service(tmp_path: Path) -> None:
    unit = tmp_path / "gql-identity.service"
    text = (DEPLOY / "gql-identity.service").read_text()
    unit.write_text(text.replace("/opt/gql-identity/bin/gql-identity", sys.executable))  # it must exist
    lint("systemd-analyze", "verify", "--man=no", unit)
    # In tenths; a unit that confines nothing has 96.
    lint("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", unit)


def rendered(values: dict[str, Any]) -> dict[str, Any]:
    """The objects of the chart, by their kinds, each checked against Kubernetes' schemas.

    The Service of the metrics is "Service metrics". ServiceMonitor is no kind of Kubernetes itself: it has no schema.
    """
    chart = module("helm_python").Chart.load(CHART)
    validate = module("kubernetes_validate").validate
    files = chart.render(values, name="prod", namespace="identity", is_upgrade=True)
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    objects = [one for text in texts for one in yaml.safe_load_all(text) if one]
    for one in objects:
        for version in KUBERNETES if one["kind"] != "ServiceMonitor" else ():
            validate(one, version, strict=True)
    return {
        f"{one['kind']} metrics" if one["metadata"]["name"].endswith("-metrics") else one["kind"]: one
        for one in objects
    }


def test_the_chart_renders_and_every_object_is_valid() -> None:
    report = module("helm_python").lint(CHART, strict=True)
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]
    objects = rendered({})
    assert set(objects) == {"Deployment", "Service", "PodDisruptionBudget", "Job"}
    assert set(rendered({"podDisruptionBudget": {"enabled": False}, "createIndexes": {"enabled": False}})) == {
        "Deployment",
        "Service",
    }
    assert objects["Job"]["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    for kind in ("Deployment", "Job"):
        pod = objects[kind]["spec"]["template"]["spec"]
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    # The job's pods get no requests, and the budget does not count them.
    for kind in ("Service", "PodDisruptionBudget"):
        selector = objects[kind]["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        assert wanted <= objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
        assert not wanted <= objects["Job"]["spec"]["template"]["metadata"]["labels"].items()


def test_each_value_of_the_chart_is_used_and_every_variable_is_a_setting() -> None:
    many = {
        "image": {"repository": "registry.example/gql-identity", "tag": "1", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {"WORKERS": "2", "TRUSTED_PROXIES": "10.0.0.0/8"},
        "env": [
            {"name": "OTEL_TRACES_SAMPLER", "value": "parentbased_traceidratio"},
            {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": {"name": "otel", "key": "headers"}}},
        ],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
        "service": {"type": "LoadBalancer", "port": 8080},
        "replicas": 5,
        "preStopSeconds": 7,
        "terminationGracePeriodSeconds": 40,
        "shutdownDelaySeconds": 9,
        "existingSecret": "mine",
        "peppersRetired": True,
        "ratesStore": True,
    }
    deployment = rendered(many)["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["spec"]["replicas"] == 5
    assert container["image"] == "registry.example/gql-identity:1"
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "7"]
    assert pod["topologySpreadConstraints"] == many["topologySpreadConstraints"]
    for name in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity"):
        assert pod[name] == many[name]
    assert container["env"][-2:] == many["env"]
    variables = {one["name"]: one.get("value") for one in container["env"][:-2]}
    assert variables["GQL_IDENTITY_WORKERS"] == "2"
    assert pod["volumes"] == [
        {"name": "secrets", "secret": {"secretName": "mine"}},
        # A bound that holds for files without a name too, as only a file system of its own has it.
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
    ]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["tmp"] == "/tmp"
    files = {name: value for name, value in variables.items() if name.endswith("_FILE")}
    assert set(files) == {
        f"GQL_IDENTITY_{name}_FILE" for name in ("MONGO_URI", "PEPPER", "PEPPERS_RETIRED", "RATES_STORE")
    }
    assert all(str(value).startswith(f"{mounts['secrets']}/") for value in files.values())
    assert variables["GQL_IDENTITY_SHUTDOWN_DELAY_SECONDS"] == "9"
    known = {f"GQL_IDENTITY_{name.upper()}{of}" for name in Settings.model_fields for of in ("", "_FILE")}
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for text in texts for name in re.findall(r"GQL_IDENTITY_[A-Z_]*[A-Z]", text)}
    assert variables.keys() | named <= known


def test_the_chart_offers_metrics_on_a_service_of_their_own() -> None:
    monitor = {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}}
    objects = rendered({"metrics": {"enabled": True, "port": 9999, "serviceMonitor": monitor}})
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "GQL_IDENTITY_METRICS_PORT", "value": "9999"} in container["env"]
    (port,) = [one for one in container["ports"] if one["name"] == "metrics"]
    assert port["containerPort"] == 9999
    service, found = objects["Service metrics"], objects["ServiceMonitor"]
    pods = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pods.items()
    assert [one["targetPort"] for one in service["spec"]["ports"]] == ["metrics"]
    assert [one["name"] for one in objects["Service"]["spec"]["ports"]] == ["http"]
    wanted = found["spec"]["selector"]["matchLabels"].items()
    assert wanted <= service["metadata"]["labels"].items()
    assert not wanted <= objects["Service"]["metadata"]["labels"].items()
    assert found["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "15s"}]
    assert found["metadata"]["labels"]["release"] == "prometheus"
    assert "ServiceMonitor" not in rendered({"metrics": {"enabled": True}})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"preStopSeconds": 30}, "terminationGracePeriodSeconds must exceed"),
        ({"settings": {"PEPPER": "p" * 32}}, "PEPPER"),
        ({"env": [{"name": "GQL_IDENTITY_PEPPER", "value": "p"}]}, "env"),
        ({"existingSecret": ""}, "existingSecret"),
        ({"replica": 3}, "replica"),
        ({"metrics": {"port": 80}}, "port"),
        ({"settings": {"METRICS_PORT": "1"}}, "METRICS_PORT"),
    ],
)
def test_the_chart_refuses_values_that_would_not_work(values: dict[str, Any], said: str) -> None:
    helm = module("helm_python")
    with pytest.raises(helm.HelmError, match=said):
        helm.Chart.load(CHART).render(values, name="prod", namespace="identity")
