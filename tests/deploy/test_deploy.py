"""What deploy/ ships: Roles equal to what the code needs, images that hold what they run, manifests that fit together."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from runner.cli.main import cli
from runner.conduct.plan import make_plan
from runner.mesh.cluster.permissions import PERMISSIONS, Scope, rules
from runner.spec.load import load_experiment
from tests.deploy.manifests import DEPLOY, KUSTOMIZE, ROOT, build

ROLES = {
    Scope.EXPERIMENT: KUSTOMIZE / "base/role.yaml",
    Scope.APP: KUSTOMIZE / "components/app/role.yaml",
    Scope.LOAD: KUSTOMIZE / "components/load/role.yaml",
    Scope.POLICIES: KUSTOMIZE / "components/policies/role.yaml",
    Scope.MESH: KUSTOMIZE / "mesh-wide/role.yaml",
    Scope.ISTIO: KUSTOMIZE / "istio/role.yaml",
    Scope.CLUSTER: KUSTOMIZE / "components/cluster-reader/role.yaml",
}
DOCKERFILES = sorted(DEPLOY.glob("*Dockerfile"))


@pytest.mark.parametrize("scope", list(Scope))
def test_each_role_grants_exactly_what_the_code_needs(scope):
    role, binding = yaml.safe_load_all(ROLES[scope].read_text())
    assert role["rules"] == rules(scope)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["roleRef"]["kind"] == role["kind"]
    assert role["kind"].startswith("Cluster") == (scope is Scope.CLUSTER)


def test_no_role_uses_a_wildcard_and_the_cluster_wide_one_only_lists():
    for permission in PERMISSIONS:
        assert "*" not in {permission.resource, permission.group, *permission.verbs}
        if permission.scope is Scope.CLUSTER:
            assert permission.verbs == ("list",)
        if permission.scope is not Scope.EXPERIMENT:
            assert permission.without


def test_only_the_namespaces_config_is_ever_required():
    assert {item.scope for item in PERMISSIONS if item.required} == {Scope.EXPERIMENT}


@pytest.mark.parametrize("folder", ["base", "istio", "overlays/example", "overlays/nightly"])
def test_every_kustomization_can_be_built_and_refers_to_what_it_has(folder):
    objects = build(KUSTOMIZE / folder)
    accounts = {item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"}
    volumes = {item["metadata"]["name"] for item in objects if item["kind"] in {"PersistentVolumeClaim", "ConfigMap"}}
    pods = [pod for pod in map(pod_spec, objects) if pod]
    assert bool(pods) == (folder != "istio")
    for pod in pods:
        assert pod["serviceAccountName"] in accounts
        assert pod["securityContext"]["runAsNonRoot"]
        for volume in pod["volumes"]:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName") or (volume.get("configMap") or {}).get(
                "name"
            )
            assert name is None or name in volumes
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}


def pod_spec(item):
    spec = item.get("spec") or {}
    job = spec.get("jobTemplate", {}).get("spec") if item["kind"] == "CronJob" else spec
    return job["template"]["spec"] if item["kind"] in {"Job", "CronJob"} else None


def test_the_nightly_job_is_the_bases_job():
    job = yaml.safe_load((KUSTOMIZE / "base/job.yaml").read_text())
    nightly = yaml.safe_load((KUSTOMIZE / "overlays/nightly/cron-job.yaml").read_text())
    assert nightly["spec"]["jobTemplate"]["spec"] == job["spec"]


def pushing(folder, resources):
    """The command of the container that runs and pushes."""
    copy = folder / "deploy" / "kustomize"
    shutil.copytree(KUSTOMIZE, copy)
    mine = copy / "overlays" / "mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(
        f"resources: [{resources}]\ncomponents: [../../components/push, ../../components/app]\n"
    )
    (container,) = next(filter(None, map(pod_spec, build(mine))))["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "meshtrial-push"}}]
    return container["command"]


def program(folder, text):
    """An environment in which `meshtrial` is this shell text."""
    folder.mkdir()
    fake = folder / "meshtrial"
    fake.write_text(f"#!/bin/sh\n{text}\n")
    fake.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin", "PUSH_URL": "s3://bucket/a b"}


@pytest.mark.parametrize("resources", ["../../base", "../nightly"])
def test_a_run_and_its_push_in_one_job_end_with_the_runs_exit_code(tmp_path, resources):
    shell, flag, script, name = pushing(tmp_path, resources)
    # the same shell text, with programs that only say what they were called with
    environment = program(tmp_path / "bin", 'echo "$@"\ncase $1 in run) exit 5;; push) exit ${PUSH_CODE:-0};; esac')
    done = subprocess.run(
        [shell, flag, script, name, "run", "a file.yaml"], env=environment, capture_output=True, check=False, text=True
    )
    assert done.returncode == 5
    assert done.stdout.splitlines() == ["run a file.yaml", "push /var/lib/meshtrial/results s3://bucket/a b"]
    failed = subprocess.run([shell, flag, script, name, "run"], env={**environment, "PUSH_CODE": "3"}, check=False)
    assert failed.returncode == 3


def test_a_job_that_pushes_hands_sigterm_on_and_waits_for_the_restore(tmp_path):
    """The shell is the container's first process, to which the kubelet sends the signal."""
    shell, flag, script, name = pushing(tmp_path, "../../base")
    text = """
    [ "$1" = push ] && { echo pushed; exit 0; }
    trap 'echo restored; exit 143' TERM
    echo running
    while :; do sleep 0.05; done"""
    environment = program(tmp_path / "bin", text)
    with subprocess.Popen(
        [shell, flag, script, name, "run"], env=environment, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout.readline() == "running\n"
        job.terminate()
        assert job.stdout.read().splitlines() == ["restored", "pushed"]
    assert job.returncode == 143


def test_the_examples_experiment_is_good():
    loaded = load_experiment(KUSTOMIZE / "overlays/example/checkout.yaml")
    plan = make_plan(loaded, 0)
    assert [variant.name for variant in plan.variants] == ["no-timeout", "timeout-500ms"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_is_there_and_not_ignored(dockerfile):
    ignored = DEPLOY / f"{dockerfile.name}.dockerignore"
    kept = [line[1:] for line in ignored.read_text().splitlines() if line.startswith("!")] if ignored.exists() else []
    sources = copied(dockerfile)
    assert bool(sources) == bool(kept)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == entry or source.startswith(f"{entry}/") for entry in kept), source


def copied(dockerfile):
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_no_image_runs_as_root(dockerfile):
    users = re.findall(r"^USER (.+)$", dockerfile.read_text(), re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}


def test_the_copied_files_make_the_wheel(tmp_path):
    for source in copied(DEPLOY / "Dockerfile"):
        target = tmp_path / Path(source).name
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "dist").glob("meshtrial-*.whl"))


@pytest.mark.parametrize("service", ["productpage", "details", "reviews", "ratings"])
def test_the_twins_image_holds_what_each_service_imports(tmp_path, service):
    for line in re.findall(r"^COPY (?!--from)(.+)$", (DEPLOY / "bookinfo.Dockerfile").read_text(), re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            place = tmp_path / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            elif target.endswith("/"):
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import runner; assert runner.__file__.startswith({str(tmp_path)!r}); "
    code += f"import runner.mesh.local.apps.bookinfo.{service}"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


def test_locks_are_whole_and_agree_with_the_main_one():
    main = pins(ROOT / "requirements.lock")
    for lock in DEPLOY.glob("*.lock"):
        for name, version in pins(lock).items():
            assert main.get(name, version) == version, (lock.name, name)
        blocks = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)
        assert all("--hash=sha256:" in block for block in blocks if block.strip())


def pins(lock):
    return dict(re.findall(r"^([a-z0-9_.-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE))


WORKFLOW = DEPLOY / "github" / "rollout-gate.yaml"


def test_the_gates_workflow_is_sound_and_rolls_out_only_what_passed():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    jobs = workflow["jobs"]
    assert jobs["rollout"]["needs"] == "staging"
    assert jobs["staging"]["needs"] == "embedded"
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    texts = [step.get("run", "").removeprefix("exec ") for step in steps]
    runs = [text for text in texts if text.startswith("meshtrial")]
    assert len(runs) == 6
    for text in runs:
        assert "||" not in text, "a gate that goes on whatever happened is none"
        assert understood(shlex.split(text.replace("$RESULTS_URL", "s3://bucket"))[1:]), text


def understood(words):
    command = cli.commands[words[0]]
    context = command.make_context(words[0], list(words[1:]), resilient_parsing=False)
    return context.command is command


def test_the_guide_shows_the_workflow_as_it_is():
    assert f"```yml\n{WORKFLOW.read_text()}```" in (ROOT / "docs/guide/ci.md").read_text()
