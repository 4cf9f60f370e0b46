"""Checks that the deployment files agree with each other, with deploy/example.env and with the programs.

Prints a line "ok: …" for each passed check, and the errors on standard error. deploy/checks/check-manifests runs it.

Usage: check_manifests.py <output of docker-compose config --format json>
"""

import json
import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

DEPLOY = Path("deploy")
COMPOSE_FILE = DEPLOY / "compose.yaml"
DOCKERFILE = DEPLOY / "Dockerfile"
KUBERNETES = DEPLOY / "kubernetes"
NOT_RESOURCES = {"kustomization.yaml", "prometheus-adapter-values.yaml"}

# The directives that the units can use. systemd ignores a misspelled directive with only a warning.
ALLOWED_DIRECTIVES = {
    "Unit": "After Description StartLimitIntervalSec Wants",
    "Install": "WantedBy",
    "Service": """
        CapabilityBoundingSet DynamicUser Environment EnvironmentFile ExecStart LockPersonality MemoryDenyWriteExecute
        NoNewPrivileges PrivateDevices PrivateTmp PrivateUsers ProcSubset ProtectClock ProtectControlGroups ProtectHome
        ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem RemoveIPC
        Restart RestartSec RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID StateDirectory
        SystemCallArchitectures SystemCallErrorNumber SystemCallFilter TimeoutStopSec Type UMask User WorkingDirectory
    """,
}
HARDENING = {
    "CapabilityBoundingSet": [""],
    "DynamicUser": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "NoNewPrivileges": ["yes"],
    "ProtectSystem": ["strict"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
}

errors = []


def expect(condition, file, error):
    """Records the error unless the condition holds."""
    if not condition:
        errors.append(f"{file}: {error}")


def to_seconds(duration):
    """Converts a duration such as 45, "45", "35s" or "1m0s" to seconds."""
    units = {"h": 3600, "m": 60, "s": 1, "": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([hms]?)", str(duration)))


# --- reading the files ----------------------------------------------------------------------------------------------


def read_settings():
    """Returns the settings of deploy/example.env with their defaults."""
    return dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", (DEPLOY / "example.env").read_text(), re.M))


def read_yaml(path):
    return [document for document in YAML(typ="safe").load_all(path) if document]


def read_unit(path):
    """Returns a systemd unit as section → directive → list of values."""
    unit, section = {}, None
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = unit.setdefault(heading[1], {})
        else:
            name, equals_sign, value = line.partition("=")
            expect(equals_sign and section is not None, path, f"'{line}' is not a directive in a section")
            section.setdefault(name, []).append(value)
    return unit


settings = read_settings()
shutdown_seconds = int(settings["SHUTDOWN_SECONDS"])
resources = [
    (path, document)
    for path in sorted(KUBERNETES.glob("*.yaml"))
    if path.name not in NOT_RESOURCES
    for document in read_yaml(path)
]
units = {path: read_unit(path) for path in sorted((DEPLOY / "systemd").iterdir())}
dockerfile = DOCKERFILE.read_text().replace("\\\n", " ")
services = json.loads(Path(sys.argv[1]).read_text())["services"]
# The services that run Latchkey's own image.
latchkey_services = {name: service for name, service in services.items() if "build" in service}


def resources_of_kind(*kinds):
    return [(path, document) for path, document in resources if document["kind"] in kinds]


def names_of_kind(kind):
    return {document["metadata"]["name"] for _, document in resources_of_kind(kind)}


def pods():
    """Yields the file, the resource and the pod specification of each Deployment and Job."""
    for path, document in resources_of_kind("Deployment", "Job"):
        yield path, document, document["spec"]["template"]["spec"]


# --- the checks: main() prints their names ---------------------------------------------------------------------------


def every_environment_variable_is_in_example_env():
    used = [(COMPOSE_FILE, name) for service in latchkey_services.values() for name in service["environment"]]
    used += [(path, name) for path, document in resources_of_kind("ConfigMap") for name in document["data"]]
    used += [(path, variable["name"]) for path, _, pod in pods() for c in pod["containers"] for variable in c["env"]]
    for path, unit in units.items():
        used += [(path, value.split("=")[0]) for value in unit["Service"].get("Environment", [])]
    for line in re.findall(r"^ENV (.*)$", dockerfile, re.M):
        used += [(DOCKERFILE, pair.split("=")[0]) for pair in line.split()]
    # Detects a search that no longer finds the variables.
    expect(len(used) > 40, DEPLOY, f"found only {len(used)} environment variables")
    for file, name in used:
        in_example = name in settings or name.removesuffix("_FILE") in settings
        expect(in_example, file, f"{name} is not in deploy/example.env")


def stop_timeouts_exceed_shutdown_seconds():
    for name, service in latchkey_services.items():
        is_longer = to_seconds(service["stop_grace_period"]) > shutdown_seconds
        expect(is_longer, COMPOSE_FILE, f"{name}: stop_grace_period must exceed SHUTDOWN_SECONDS")
    for path, document, pod in pods():
        if document["kind"] == "Deployment":
            sleeps = [c["lifecycle"]["preStop"]["sleep"]["seconds"] for c in pod["containers"] if "lifecycle" in c]
            is_longer = pod.get("terminationGracePeriodSeconds", 30) > shutdown_seconds + sum(sleeps)
            expect(is_longer, path, "terminationGracePeriodSeconds must exceed preStop's sleep plus SHUTDOWN_SECONDS")
    for path, unit in units.items():
        if unit["Service"].get("Type") != ["oneshot"]:
            is_longer = to_seconds(unit["Service"].get("TimeoutStopSec", ["0"])[0]) > shutdown_seconds
            expect(is_longer, path, "TimeoutStopSec must exceed SHUTDOWN_SECONDS")


def image_uses_locked_versions_and_runs_without_root():
    cargo_toml = Path("Cargo.toml").read_text()
    rust = re.search(r'^rust-version = "(.*)"', cargo_toml, re.M)[1]
    expect(f"FROM rust:{rust}-" in dockerfile, DOCKERFILE, f"the build stage must use Rust {rust}, as in Cargo.toml")
    expect("cargo build --locked --release" in dockerfile, DOCKERFILE, "cargo build needs --locked --release")
    numeric_user = re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.M)
    expect(numeric_user, DOCKERFILE, "USER must be a numeric user and group other than 0")
    expect('CMD ["latchkey-api"]' in dockerfile, DOCKERFILE, "CMD must be latchkey-api")
    ignore_lines = Path(".dockerignore").read_text().splitlines()
    members = re.search(r"^members = (\[.*\])", cargo_toml, re.M)[1]
    expect("*" in ignore_lines, ".dockerignore", "the line * is missing, so all files are in the build context")
    for name in {member.split("/")[0] for member in json.loads(members)} | {"Cargo.toml", "Cargo.lock"}:
        expect(f"!{name}" in ignore_lines, ".dockerignore", f"the line !{name} is missing; the build needs {name}")


def compose_services_are_hardened_and_worker_can_scale():
    for name, service in services.items():
        expect("container_name" not in service, COMPOSE_FILE, f"{name}: container_name prevents scaling")
        no_new_privileges = "no-new-privileges:true" in service["security_opt"]
        expect(no_new_privileges, COMPOSE_FILE, f"{name}: no-new-privileges:true is missing")
        expect("restart" in service, COMPOSE_FILE, f"{name}: restart is missing")
        tag = service["image"].rpartition(":")[2]
        expect(re.match(r"v?\d", tag), COMPOSE_FILE, f"{name}: the image {service['image']} has no version")
        for port in service.get("ports", []):
            is_loopback = port.get("host_ip") == "127.0.0.1"
            expect(is_loopback, COMPOSE_FILE, f"{name}: ports must be published on 127.0.0.1 only")
    for name, service in latchkey_services.items():
        is_hardened = service.get("read_only") and service.get("cap_drop") == ["ALL"]
        expect(is_hardened, COMPOSE_FILE, f"{name}: needs read_only: true and cap_drop: [ALL]")
    expect("ports" not in services["worker"], COMPOSE_FILE, "worker: a published port prevents scaling")
    for name in ("api", "worker"):
        waits = services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        expect(waits, COMPOSE_FILE, f"{name}: must wait until migrate has succeeded")
    redis_command = " ".join(services["redis"]["command"])
    expect("--appendonly yes" in redis_command, COMPOSE_FILE, "redis: needs --appendonly yes to keep its data")
    expect("--maxmemory-policy noeviction" in redis_command, COMPOSE_FILE, "redis: needs --maxmemory-policy noeviction")


def kustomization_lists_every_resource_file():
    file = KUBERNETES / "kustomization.yaml"
    listed = set(read_yaml(file)[0]["resources"])
    existing = {path.name for path in KUBERNETES.glob("*.yaml")} - NOT_RESOURCES - {"secret.example.yaml"}
    for name in sorted(listed - existing):
        expect(False, file, f"lists {name}, which does not exist or is not a resource")
    for name in sorted(existing - listed):
        expect(False, file, f"does not list {name}")
    for path, document in resources:
        if document["kind"] != "Namespace":
            expect(document["metadata"].get("namespace") == "latchkey", path, "the namespace must be latchkey")


def pods_are_hardened_and_their_references_exist():
    for path, document, pod in pods():
        context = pod["securityContext"]
        expect(context["runAsNonRoot"] and context["runAsUser"] > 0, path, "the pod can run as root")
        expect(context["seccompProfile"]["type"] == "RuntimeDefault", path, "seccompProfile must be RuntimeDefault")
        expect(pod["automountServiceAccountToken"] is False, path, "automountServiceAccountToken must be false")
        secret_files = expect_volumes_exist(path, pod)
        for container in pod["containers"]:
            expect_container_is_hardened(path, container)
            expect_container_references_exist(path, pod, container, secret_files)
            if document["kind"] == "Deployment":
                expect_probe_ports_exist(path, container)
        if document["kind"] == "Deployment":
            selector = document["spec"]["selector"]["matchLabels"]
            labels = document["spec"]["template"]["metadata"]["labels"]
            expect(selector.items() <= labels.items(), path, "the selector does not match the pod's labels")
    deployments = names_of_kind("Deployment")
    for path, document in resources_of_kind("Service", "PodDisruptionBudget"):
        selector = document["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        is_known = labels.get("app.kubernetes.io/name") in deployments
        expect(is_known, path, f"the selector of the {document['kind']} matches no Deployment")


def expect_volumes_exist(path, pod):
    """Checks the sources of a pod's volumes. Returns the file names of its secret volumes."""
    (secret,) = [document for _, document in resources_of_kind("Secret")]
    files = set()
    for volume in pod["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            name = claim["claimName"]
            claims = names_of_kind("PersistentVolumeClaim")
            expect(name in claims, path, f"the PersistentVolumeClaim {name} does not exist")
        if source := volume.get("secret"):
            name = source["secretName"]
            expect(name == secret["metadata"]["name"], path, f"the Secret {name} does not exist")
            for item in source["items"]:
                expect(item["key"] in secret["stringData"], path, f"{item['key']} is not in secret.example.yaml")
                files.add(item["path"])
    return files


def expect_container_is_hardened(path, container):
    context = container["securityContext"]
    expect(context["readOnlyRootFilesystem"], path, "readOnlyRootFilesystem must be true")
    expect(context["allowPrivilegeEscalation"] is False, path, "allowPrivilegeEscalation must be false")
    expect(context["capabilities"] == {"drop": ["ALL"]}, path, "capabilities must be {drop: [ALL]}")
    expect({"requests", "limits"} <= set(container["resources"]), path, "resources need requests and limits")


def expect_container_references_exist(path, pod, container, secret_files):
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    expect(set(mounts) == {volume["name"] for volume in pod["volumes"]}, path, "volumes and volumeMounts differ")
    for source in container["envFrom"]:
        name = source["configMapRef"]["name"]
        expect(name in names_of_kind("ConfigMap"), path, f"the ConfigMap {name} does not exist")
    for variable in container["env"]:
        folder, _, name = variable["value"].rpartition("/")
        if variable["name"].endswith("_FILE"):
            is_mounted = folder == mounts.get("secrets") and name in secret_files
            expect(is_mounted, path, f"{variable['name']}: {variable['value']} is not mounted")


def expect_probe_ports_exist(path, container):
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        port = container[probe]["httpGet"]["port"]
        expect(port in ports, path, f"{probe}: the container has no port {port}")


def worker_autoscaler_uses_an_existing_metric():
    ((path, autoscaler),) = resources_of_kind("HorizontalPodAutoscaler")
    target = autoscaler["spec"]["scaleTargetRef"]["name"]
    expect(target in names_of_kind("Deployment"), path, f"the Deployment {target} does not exist")
    scaled_by = {metric["external"]["metric"]["name"] for metric in autoscaler["spec"]["metrics"]}
    adapter_file = KUBERNETES / "prometheus-adapter-values.yaml"
    rules = read_yaml(adapter_file)[0]["rules"]["external"]
    provided = {rule["name"]["as"] for rule in rules}
    expect(scaled_by == provided, adapter_file, f"provides {provided}, but the autoscaler uses {scaled_by}")
    worker_metrics = Path("worker/src/metrics/endpoint.rs").read_text()
    for rule in rules:
        series = rule["seriesQuery"].partition("{")[0]
        expect(f'"{series}"' in worker_metrics, adapter_file, f"the worker has no metric {series}")
        is_maximum = rule["metricsQuery"].startswith("max(")
        expect(is_maximum, adapter_file, f"{series}: the query must return the maximum of all workers")


def systemd_units_are_hardened_and_use_known_directives():
    for path, unit in units.items():
        for section, directives in unit.items():
            allowed = set(ALLOWED_DIRECTIVES.get(section, "").split())
            for name in sorted(set(directives) - allowed):
                expect(False, path, f"[{section}] {name} is not in ALLOWED_DIRECTIVES of check_manifests.py")
        service = unit["Service"]
        for name, values in HARDENING.items():
            expect(service.get(name) == values, path, f"{name} must be {values}, not {service.get(name)}")
        program = re.match(r"/usr/local/bin/(latchkey-\w+)", service["ExecStart"][0])
        is_program = program and Path(f"{program[1].removeprefix('latchkey-')}/src/main.rs").exists()
        expect(is_program, path, "ExecStart must start latchkey-api or latchkey-worker")
        if service.get("Type") != ["oneshot"]:
            starts_after_migration = "latchkey-migrate.service" in unit["Unit"]["After"][0]
            expect(starts_after_migration, path, "After must name latchkey-migrate.service")
            expect(service.get("Restart") == ["on-failure"], path, "Restart must be on-failure")


def main():
    checks = [
        every_environment_variable_is_in_example_env,
        stop_timeouts_exceed_shutdown_seconds,
        image_uses_locked_versions_and_runs_without_root,
        compose_services_are_hardened_and_worker_can_scale,
        kustomization_lists_every_resource_file,
        pods_are_hardened_and_their_references_exist,
        worker_autoscaler_uses_an_existing_metric,
        systemd_units_are_hardened_and_use_known_directives,
    ]
    for check in checks:
        errors_before = len(errors)
        try:
            check()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            errors.append(f"{check.__name__}: the files lack an expected entry: {error!r}")
        if len(errors) == errors_before:
            print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)
    for error in errors:
        print(error, file=sys.stderr)
    sys.exit(1 if errors else 0)


main()
