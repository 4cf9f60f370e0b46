"""What the deployment files have to say together; deploy/checks/check-manifests runs it.

    check_manifests.py <compose file as JSON, as compose understands it>
"""

import json
import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

DEPLOY = Path("deploy")
KUBERNETES = DEPLOY / "kubernetes"
NOT_RESOURCES = {"kustomization.yaml", "prometheus-adapter-values.yaml"}

# Every directive that the units may use. systemd ignores one that it does not know, and with it what was meant.
DIRECTIVES = {
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
CONFINED = {
    "CapabilityBoundingSet": [""],
    "DynamicUser": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "NoNewPrivileges": ["yes"],
    "ProtectSystem": ["strict"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
}

faults = []


def expect(fact, file, what):
    if not fact:
        faults.append(f"{file}: {what}")


def seconds(text):
    """45, "45", "35s" or "1m0s" as a number."""
    units = {"h": 3600, "m": 60, "s": 1, "": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([hms]?)", str(text)))


# --- reading --------------------------------------------------------------------------------------------------------


def read_example():
    """The settings that there are, and their defaults."""
    lines = (DEPLOY / "example.env").read_text().splitlines()
    return dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", "\n".join(lines), re.M))


def read_yaml(path):
    return [document for document in YAML(typ="safe").load_all(path) if document]


def read_unit(path):
    """Section → directive → values."""
    unit, section = {}, None
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = unit.setdefault(heading[1], {})
        else:
            name, is_set, value = line.partition("=")
            expect(is_set and section is not None, path, f"'{line}' is no directive")
            section.setdefault(name, []).append(value)
    return unit


example = read_example()
shutdown = int(example["SHUTDOWN_SECONDS"])
resources = [
    (path, document)
    for path in sorted(KUBERNETES.glob("*.yaml"))
    if path.name not in NOT_RESOURCES
    for document in read_yaml(path)
]
units = {path: read_unit(path) for path in sorted((DEPLOY / "systemd").iterdir())}
dockerfile = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
services = json.loads(Path(sys.argv[1]).read_text())["services"]
ours = {name: service for name, service in services.items() if "build" in service}
compose_file = DEPLOY / "compose.yaml"


def of_kind(*kinds):
    return [(path, document) for path, document in resources if document["kind"] in kinds]


def names_of(kind):
    return {document["metadata"]["name"] for _, document in of_kind(kind)}


def pods():
    """File, resource and pod of all that starts pods."""
    for path, document in of_kind("Deployment", "Job"):
        yield path, document, document["spec"]["template"]["spec"]


# --- the checks: each a sentence ------------------------------------------------------------------------------------


def every_variable_is_in_example_env():
    used = [(compose_file, name) for service in ours.values() for name in service["environment"]]
    used += [(path, name) for path, document in of_kind("ConfigMap") for name in document["data"]]
    used += [(path, variable["name"]) for path, _, pod in pods() for c in pod["containers"] for variable in c["env"]]
    for path, unit in units.items():
        used += [(path, value.split("=")[0]) for value in unit["Service"].get("Environment", [])]
    for line in re.findall(r"^ENV (.*)$", dockerfile, re.M):
        used += [(DEPLOY / "Dockerfile", pair.split("=")[0]) for pair in line.split()]
    expect(len(used) > 40, DEPLOY, f"only {len(used)} variables were found")
    for file, name in used:
        expect(name in example or name.removesuffix("_FILE") in example, file, f"{name} is not in deploy/example.env")


def whatever_is_stopped_has_longer_than_shutdown_seconds():
    for name, service in ours.items():
        expect(seconds(service["stop_grace_period"]) > shutdown, compose_file, f"{name}: stop_grace_period is too short")
    for path, document, pod in pods():
        if document["kind"] == "Deployment":
            hooks = [c["lifecycle"]["preStop"]["sleep"]["seconds"] for c in pod["containers"] if "lifecycle" in c]
            enough = pod.get("terminationGracePeriodSeconds", 30) > shutdown + sum(hooks)
            expect(enough, path, "terminationGracePeriodSeconds is not above preStop and SHUTDOWN_SECONDS")
    for path, unit in units.items():
        if unit["Service"].get("Type") != ["oneshot"]:
            enough = seconds(unit["Service"].get("TimeoutStopSec", ["0"])[0]) > shutdown
            expect(enough, path, "TimeoutStopSec is not above SHUTDOWN_SECONDS")


def the_image_is_small_locked_and_not_root():
    file = DEPLOY / "Dockerfile"
    rust = re.search(r'^rust-version = "(.*)"', Path("Cargo.toml").read_text(), re.M)[1]
    expect(f"FROM rust:{rust}-" in dockerfile, file, f"is not built with Rust {rust}, the rust-version of Cargo.toml")
    expect("cargo build --locked --release" in dockerfile, file, "does not build with --locked --release")
    expect(re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.M), file, "needs a user by number that is not root")
    expect('CMD ["latchkey-api"]' in dockerfile, file, "does not start latchkey-api")
    ignored = Path(".dockerignore").read_text().splitlines()
    members = re.search(r"^members = (\[.*\])", Path("Cargo.toml").read_text(), re.M)[1]
    expect("*" in ignored, ".dockerignore", "lets everything in")
    for name in {member.split("/")[0] for member in json.loads(members)} | {"Cargo.toml", "Cargo.lock"}:
        expect(f"!{name}" in ignored, ".dockerignore", f"keeps {name} out, which the build needs")


def compose_can_scale_and_is_confined():
    for name, service in services.items():
        expect("container_name" not in service, compose_file, f"{name}: with container_name there can be only one")
        expect("no-new-privileges:true" in service["security_opt"], compose_file, f"{name}: no-new-privileges is missing")
        expect("restart" in service, compose_file, f"{name}: does not say whether it is restarted")
        tag = service["image"].rpartition(":")[2]
        expect(re.match(r"v?\d", tag), compose_file, f"{name}: {service['image']} has no version")
        for port in service.get("ports", []):
            expect(port.get("host_ip") == "127.0.0.1", compose_file, f"{name}: publishes beyond this machine")
    for name, service in ours.items():
        expect(service.get("read_only") and service.get("cap_drop") == ["ALL"], compose_file, f"{name}: is not confined")
    expect("ports" not in services["worker"], compose_file, "worker: with a port there can be only one")
    for name in ("api", "worker"):
        condition = services[name]["depends_on"]["migrate"]["condition"]
        expect(condition == "service_completed_successfully", compose_file, f"{name}: does not wait for migrate")
    redis = " ".join(services["redis"]["command"])
    expect("--appendonly yes" in redis, compose_file, "redis: keeps nothing")
    expect("--maxmemory-policy noeviction" in redis, compose_file, "redis: may evict")


def kustomization_lists_what_is_there():
    file = KUBERNETES / "kustomization.yaml"
    listed = set(read_yaml(file)[0]["resources"])
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - NOT_RESOURCES - {"secret.example.yaml"}
    expect(listed == there, file, f"lists {sorted(listed - there)} too much and {sorted(there - listed)} not")
    for path, document in resources:
        if document["kind"] != "Namespace":
            expect(document["metadata"].get("namespace") == "latchkey", path, "is not in the namespace latchkey")


def pods_are_confined_and_find_what_they_name():
    (secret,) = [document for _, document in of_kind("Secret")]
    for path, document, pod in pods():
        confined = pod["securityContext"]
        expect(confined["runAsNonRoot"] and confined["runAsUser"] > 0, path, "may run as root")
        expect(confined["seccompProfile"]["type"] == "RuntimeDefault", path, "has no seccomp profile")
        expect(pod["automountServiceAccountToken"] is False, path, "gets a token of the cluster, which it does not need")
        files = set()
        for volume in pod["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                expect(claim["claimName"] in names_of("PersistentVolumeClaim"), path, f"no claim {claim['claimName']}")
            if source := volume.get("secret"):
                expect(source["secretName"] == secret["metadata"]["name"], path, f"no secret {source['secretName']}")
                for item in source["items"]:
                    expect(item["key"] in secret["stringData"], path, f"{item['key']} is not in secret.example.yaml")
                    files.add(item["path"])
        for container in pod["containers"]:
            confined = container["securityContext"]
            expect(confined["readOnlyRootFilesystem"], path, "has a root file system that can be written to")
            expect(confined["allowPrivilegeEscalation"] is False, path, "may gain privileges")
            expect(confined["capabilities"] == {"drop": ["ALL"]}, path, "has capabilities")
            expect({"requests", "limits"} <= set(container["resources"]), path, "lacks requests or limits")
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            expect(set(mounts) == {volume["name"] for volume in pod["volumes"]}, path, "mounts other volumes than it has")
            for source in container["envFrom"]:
                expect(source["configMapRef"]["name"] in names_of("ConfigMap"), path, "names no ConfigMap there is")
            for variable in container["env"]:
                folder, _, name = variable["value"].rpartition("/")
                if variable["name"].endswith("_FILE"):
                    is_there = folder == mounts.get("secrets") and name in files
                    expect(is_there, path, f"{variable['name']}: {variable['value']} is not mounted")
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if document["kind"] == "Deployment":
                    expect(container[probe]["httpGet"]["port"] in ports, path, f"{probe}: no such port")
        if document["kind"] == "Deployment":
            selector = document["spec"]["selector"]["matchLabels"]
            labels = document["spec"]["template"]["metadata"]["labels"]
            expect(selector.items() <= labels.items(), path, "selects other pods than it starts")
    deployed = names_of("Deployment")
    for path, document in of_kind("Service", "PodDisruptionBudget"):
        selector = document["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        expect(labels.get("app.kubernetes.io/name") in deployed, path, f"{document['kind']}: selects nothing")


def the_worker_is_scaled_by_a_figure_that_there_is():
    ((path, scaler),) = of_kind("HorizontalPodAutoscaler")
    expect(scaler["spec"]["scaleTargetRef"]["name"] in names_of("Deployment"), path, "scales nothing")
    asked = {metric["external"]["metric"]["name"] for metric in scaler["spec"]["metrics"]}
    values = KUBERNETES / "prometheus-adapter-values.yaml"
    rules = read_yaml(values)[0]["rules"]["external"]
    expect(asked == {rule["name"]["as"] for rule in rules}, values, f"has not just what the autoscaler asks: {asked}")
    source = Path("worker/src/metrics/endpoint.rs").read_text()
    for rule in rules:
        series = rule["seriesQuery"].partition("{")[0]
        expect(f'"{series}"' in source, values, f"no worker shows {series}")
        expect(rule["metricsQuery"].startswith("max("), values, f"{series} has to be the highest of all workers")


def units_are_confined_and_known():
    for path, unit in units.items():
        for section, directives in unit.items():
            known = set(DIRECTIVES.get(section, "").split())
            for name in set(directives) - known:
                expect(False, path, f"[{section}] {name} is not known")
        service = unit["Service"]
        for name, values in CONFINED.items():
            expect(service.get(name) == values, path, f"{name} is not {values}")
        program = re.match(r"/usr/local/bin/(latchkey-\w+)", service["ExecStart"][0])
        expect(program and Path(f"{program[1].removeprefix('latchkey-')}/src/main.rs").exists(), path, "starts no program")
        if service.get("Type") != ["oneshot"]:
            expect("latchkey-migrate.service" in unit["Unit"]["After"][0], path, "does not start after the migration")
            expect(service.get("Restart") == ["on-failure"], path, "is not restarted")


def main():
    checks = [
        every_variable_is_in_example_env,
        whatever_is_stopped_has_longer_than_shutdown_seconds,
        the_image_is_small_locked_and_not_root,
        compose_can_scale_and_is_confined,
        kustomization_lists_what_is_there,
        pods_are_confined_and_find_what_they_name,
        the_worker_is_scaled_by_a_figure_that_there_is,
        units_are_confined_and_known,
    ]
    for check in checks:
        before = len(faults)
        try:
            check()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            faults.append(f"{check.__name__}: something it looks for is missing: {error!r}")
        if len(faults) == before:
            print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
