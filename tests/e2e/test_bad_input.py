"""Bad input: one clear message with its place, exit code 2 (3 for what is outside), nothing started, nothing left, nothing lost."""

import os
import re
import signal
import socket
import time

import pytest

from runner.results.store import RunFolder

SUBSETS = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: details}
spec: {host: details, subsets: [{name: v1, labels: {version: v1}}]}
"""
SERVICE_ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec: {hosts: [example.org]}
"""
STRANGER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: stranger}
spec:
  selector: {matchLabels: {app: stranger}}
  template: {metadata: {labels: {app: stranger}}, spec: {containers: [{name: app, image: app}]}}
"""


@pytest.fixture(autouse=True)
def _temporary_files(workshop, tmp_path):
    """Whatever a command writes to the folder for temporary files and leaves there fails the test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    workshop.environment["TMPDIR"] = str(folder)
    yield
    assert not list(folder.iterdir())


def change(shop, name, *pairs):
    text = (shop.folder / name).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    shop.write(name, text)


def nothing_is_left(shop):
    """No mesh, no journal, no working folder, no results."""
    state = shop.folder.parent / "state" / "meshtrial"
    return not list(state.glob("*/*")) and not (shop.folder / "results").exists()


EXPERIMENTS = {
    "broken YAML": (
        ("blocks: 1", "blocks: [1"),
        "slow.yaml:13:7: broken YAML: did not find expected ',' or ']'",
        "begins at line 12",
    ),
    "a tab": (
        ("  as-it-is: {}", "\tas-it-is: {}"),
        "slow.yaml:5:1: broken YAML",
        "YAML indents with spaces, never tabs",
    ),
    "a key twice": (
        ("blocks: 1", "blocks: 1\nblocks: 2"),
        'slow.yaml:13:1: the key "blocks" stands here twice',
        "line 12",
    ),
    "an unknown key": (("blocks: 1", "block: 1"), 'slow.yaml:12:1: unknown key "block"', 'Did you mean "blocks"?'),
    "a wrong type": (("blocks: 1", "blocks: many"), "slow.yaml:12:9: blocks: 'many' is not a whole number"),
    "no unit": (("duration: 2s", "duration: 2"), "slow.yaml:11:13: load.duration: 2 needs a unit", "500ms, 2s or 3m"),
    "a wrong unit": (
        ("rate: 40/s", "rate: 40 rps"),
        "slow.yaml:9:20: load.arrivals.rate: '40 rps' is not a rate",
        "20/s",
    ),
    "a duration of zero": (("duration: 2s", "duration: 0s"), "slow.yaml:11:13: load.duration: must be more than zero"),
    "a duration of years": (
        ("duration: 2s", "duration: 1000000000s"),
        "slow.yaml:11:13: a duration of 11574 days",
        "168h",
    ),
    "a rate beyond reason": (("rate: 40/s", "rate: 1000000/s"), "slow.yaml:9:20: 1000000/s is more than", "100000/s"),
    "more arrivals than fit": (
        ("duration: 2s", "duration: 160h"),
        "slow.yaml:9:20: 40/s for 576000 s: too many arrivals",
        "at most 20000000",
    ),
    "more blocks than sense": (("blocks: 1", "blocks: 100000"), "slow.yaml:12:9: 100000 blocks are too many", "1000"),
    "an unknown variant in a check": (
        ('  slow-details: ["req', '  slow-detail: ["req'),
        'slow.yaml:15:3: no variant "slow-detail"; expected one of as-it-is, slow-details',
        'Did you mean "slow-details"?',
    ),
    "an unknown variant in a comparison": (
        ("checks:", "checks:\n  slow-details vs as-it-was: ['p50 > +10%']"),
        'slow.yaml:14:19: no variant "as-it-was"',
        'Did you mean "as-it-is"?',
    ),
    "a check without a unit": (
        ("p50 < 250ms", "p50 < 250"),
        'slow.yaml:14:39: "p50 < 250": 250 needs a unit',
        '"250ms"',
    ),
    "a check on no workload": (
        ("proxy[productpage-v1", "proxy[productpag-v1"),
        "slow.yaml:15:53: proxy[productpag-v1 fault.delays_injected]: there is no workload",
        'Did you mean "productpage-v1"?',
    ),
    "a guardrail on no workload": (
        ("blocks: 1", "blocks: 1\nstop_if: ['proxy[ratingz-v1 fault.delays_injected] > 1']"),
        "slow.yaml:13:12: proxy[ratingz-v1",
        'Did you mean "ratings-v1"?',
    ),
    "no variants": (
        ("  as-it-is: {}\n  slow-details: {apply: [delay.yaml]}", "  {}"),
        "slow.yaml:5:3: variants is empty; expected at least one variant",
    ),
    "a missing manifest": (
        ("[delay.yaml]", "[dely.yaml]"),
        "slow.yaml:6:26: dely.yaml: no such file; expected a manifest",
        'Did you mean "delay.yaml"?',
    ),
    "a missing loadfile": (
        ("file: load.py", "file: laod.py"),
        "slow.yaml:8:18: laod.py: no such file; expected a loadfile",
        'Did you mean "load.py"?',
    ),
    "a loadfile that is none": (
        ("file: load.py", "file: delay.yaml"),
        "slow.yaml:8:18: the load file delay.yaml is no Python",
    ),
    "an unknown app": (
        ("variants:", "mesh: {app: bokinfo}\nvariants:"),
        'slow.yaml:4:13: there is no app "bokinfo"; expected one of bookinfo, httpbin',
        'Did you mean "bookinfo"?',
    ),
    "load from nowhere": (
        ("arrivals:", "from: productpge\n  arrivals:"),
        'slow.yaml:9:9: there is no workload "productpge" in this mesh; expected one of gateway, productpage-v1',
        'Did you mean "productpage-v1"?',
    ),
    "load to nowhere": (
        ("arrivals:", "from: client\n  host: detials:9080\n  arrivals:"),
        'slow.yaml:10:9: no Service has the host "detials"; expected one of productpage:9080',
        'Did you mean "details:9080"?',
    ),
    "load to no port": (
        ("arrivals:", "from: client\n  host: details:http\n  arrivals:"),
        'slow.yaml:10:9: details:http: "http" is no port',
        "details:9080",
    ),
    "an unknown variable": (
        ("rate: 40/s", 'rate: "{{ rat }}"'),
        'slow.yaml:9:20: "{{ rat }}": no variable "rat"',
        "none is defined under vars",
    ),
    "a name that leaves the results folder": (
        ("experiment: slow-details", "experiment: ../../elsewhere"),
        "slow.yaml:2:13: experiment: '../../elsewhere' names a folder",
    ),
}

MANIFESTS = {
    "broken YAML": (("hosts: [details]", "hosts: [details"), "delay.yaml:7:7: broken YAML", "begins at line 6"),
    "a host that is not there": (
        ("details]", "detials]"),
        'delay.yaml:6:11: no Service has the host "detials"; expected one of details, productpage, ratings, reviews',
        'Did you mean "details"?',
    ),
    "a subset that nobody defines": (
        ("host: details}", "host: details, subset: v9}"),
        'delay.yaml:9:51: no DestinationRule defines the subset "v9" of details',
        "apply one for details",
    ),
    "a subset that is not there": (
        ("host: details}}]", "host: details, subset: v9}}]" + SUBSETS),
        'delay.yaml:9:51: no DestinationRule defines the subset "v9" of details; expected one of v1',
    ),
    "an unsupported field": (
        ("- fault:", "- corsPolicy: {allowOrigins: [{exact: x}]}\n    fault:"),
        'delay.yaml:8:5: "corsPolicy" is a field of Istio\'s that the embedded mesh does not support',
    ),
    "an unknown field": (
        ("fixedDelay", "fixdDelay"),
        'delay.yaml:8:47: unknown key "fixdDelay"',
        'Did you mean "fixedDelay"?',
    ),
    "a fault that never fires": (
        ("percentage: {value: 100}, ", ""),
        "delay.yaml:8:13: this delay has neither percentage nor percent; expected percentage: {value: 100}",
        "the fault never fires",
    ),
    "a number for a duration": (
        ("300ms", "300"),
        "delay.yaml:8:59: spec.http.0.fault.delay.fixedDelay: 300 is not a duration",
    ),
    "an unknown kind": (
        ("VirtualService", "VirtualServic"),
        'delay.yaml:3:7: the embedded mesh does not know the kind "VirtualServic"',
        'Did you mean "VirtualService"?',
    ),
}

WHOLE_MANIFESTS = {
    "an unsupported kind": (SERVICE_ENTRY, "delay.yaml:3:7: ServiceEntry is a kind of Istio's that the embedded mesh"),
    "a Deployment that nobody can run": (
        STRANGER,
        "delay.yaml:2:1: the embedded mesh has no workload stranger; expected one of productpage-v1",
        "app file",
    ),
    "a Deployment that differs from the one that runs": (
        STRANGER.replace("{name: stranger}", "{name: reviews-v1}"),
        "delay.yaml:2:1: the Deployment reviews-v1 has other labels than the workload that runs",
    ),
    "nothing at all": ("# later\n", "delay.yaml: no resources in this file"),
    "prose": ("hello\n", "delay.yaml:1:1: this is no resource"),
}


def wrong_files(shop):
    """Write every wrong experiment and manifest; gives each experiment's file, what its message begins with, and what it holds."""
    whole, manifest = ((shop.folder / name).read_text() for name in ("slow.yaml", "delay.yaml"))
    files = {}
    for name, ((old, new), first, *more) in EXPERIMENTS.items():
        assert old in whole
        file = shop.write(f"bad-{len(files)}.yaml", whole.replace(old, new)).name
        files[f"experiment: {name}"] = (file, first.replace("slow.yaml:", f"{file}:"), more)
    texts = {name: (manifest.replace(*pair), *rest) for name, (pair, *rest) in MANIFESTS.items()}
    for name, (text, first, *more) in (texts | WHOLE_MANIFESTS).items():
        assert text != manifest
        file = shop.write(f"delay-{len(files)}.yaml", text).name
        experiment = shop.write(f"bad-{len(files)}.yaml", whole.replace("delay.yaml", file)).name
        files[f"manifest: {name}"] = (experiment, first.replace("delay.yaml:", f"{file}:"), more)
    return files


@pytest.mark.parametrize("command", ["validate", "run"])
def test_every_mistake_of_every_file_is_told_once_with_its_place_before_anything_starts(workshop, command):
    files = wrong_files(workshop)
    result = workshop.run(command, *(file for file, *_ in files.values()))
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.removeprefix("meshtrial: ").splitlines()
    for name, (_, first, more) in files.items():
        told = [line for line in lines if line.startswith(first)]
        assert len(told) == 1, (name, first, [line for line in lines if first.partition(":")[0] in line])
        assert all(part in told[0] for part in more), (name, told)
    assert len(lines) == len(files)
    assert nothing_is_left(workshop)


def refused(shop, result, *messages):
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    for message in messages:
        assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, "one message, and no more"
    assert nothing_is_left(shop)


@pytest.mark.parametrize(
    ("file", "pair"),
    [
        ("slow.yaml", EXPERIMENTS["an unknown variant in a check"]),
        ("delay.yaml", MANIFESTS["a subset that is not there"]),
    ],
)
def test_a_run_of_one_is_refused_in_the_same_words(workshop, file, pair):
    change(workshop, file, pair[0])
    refused(workshop, workshop.run("run", "slow.yaml"), *pair[1:])


LOADFILES = {
    "raises on import": (
        "import os\nTOKEN = os.environ['NO_SUCH_TOKEN']\n",
        "load.py:2:1: the load file can't be loaded: KeyError: 'NO_SUCH_TOKEN'",
    ),
    "imports what is not there": (
        "import locusst\n",
        "load.py:1:1: the load file can't be loaded: ModuleNotFoundError",
    ),
    "has no user class": ("x = 1\n", "load.py has no user class; expected a class that inherits from HttpUser"),
    "has a syntax error": ("class A(:\n  pass\n", "load.py:1:9: the load file is not Python: invalid syntax"),
    "is not UTF-8": (b'x = "caf\xe9"\n', "load.py:1:11: the load file is not Python: (unicode error) 'utf-8' codec"),
}


def test_every_loadfile_that_is_wrong_is_told_before_anything_starts(workshop):
    whole = (workshop.folder / "slow.yaml").read_text()
    for number, (content, _) in enumerate(LOADFILES.values()):
        (workshop.folder / f"load-{number}.py").write_bytes(content if isinstance(content, bytes) else content.encode())
        workshop.write(f"bad-{number}.yaml", whole.replace("load.py", f"load-{number}.py"))
    result = workshop.run("run", *(f"bad-{number}.yaml" for number in range(len(LOADFILES))))
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == len(LOADFILES)
    for number, (_, message) in enumerate(LOADFILES.values()):
        assert message.replace("load.py", f"load-{number}.py") in result.stderr
    assert nothing_is_left(workshop)


def test_a_loadfile_that_raises_ends_the_mesh_that_was_starting(workshop):
    content, message = LOADFILES["raises on import"]
    workshop.write("load.py", content)
    refused(workshop, workshop.run("run", "slow.yaml"), message)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ("run", "slow.yaml", "--only", "slow-detail"),
            ['--only slow-detail: no variant "slow-detail"', "slow-details"],
        ),
        (("run", "slow.yaml", "--set", "rate=3/s"), ["--set rate: no such variable; expected a name under vars"]),
        (("run", "slow.yaml", "--set", "rate"), ["--set rate; expected a name and a value, as in --set delay=2s"]),
        (("run", "slow.yaml", "--duration", "5"), ["--duration: '5' is not a duration such as 500ms, 2s or 3m"]),
        (("run", "slow.yaml", "--duration", "0s"), ["--duration 0s: must be more than zero"]),
        (("run", "slow.yaml", "--blocks", "5000"), ["meshtrial: 5000 blocks are too many"]),
        (("run", "slow.yaml", "--namespace", "shop"), ["--context and --namespace are for a cluster"]),
        (("run", "slo.yaml"), ["slo.yaml: no such file", 'Did you mean "slow.yaml"?']),
        (("run", "."), [". is a folder; expected a YAML file"]),
        (("run", "delay.yaml"), ["delay.yaml:3:7: this is a VirtualService, no experiment", "mesh apply -f"]),
        (("report", "."), [". is no run folder: it has no run.json"]),
    ],
)
def test_an_argument_that_is_wrong(workshop, arguments, messages):
    refused(workshop, workshop.run(*arguments), *messages)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rum", "slow.yaml"), "No such command 'rum'. Did you mean 'run'?"),
        (("run", "--blokcs", "3", "slow.yaml"), "No such option '--blokcs'. Did you mean '--blocks'?"),
        (("run",), "Missing argument 'EXPERIMENT...'"),
        (("run", "slow.yaml", "--blocks", "0"), "Invalid value for '--blocks'"),
        (("run", "slow.yaml", "--results", "delay.yaml"), "Directory 'delay.yaml' is a file"),
        (("mesh", "get"), "Missing argument 'KIND'"),
    ],
)
def test_a_command_line_that_is_wrong(workshop, arguments, message):
    result = workshop.run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert nothing_is_left(workshop)


def test_aliases_that_multiply_and_nesting_without_end_are_refused(workshop):
    laugh = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    workshop.write("laugh.yaml", laugh)
    workshop.write("deep.yaml", "variants: " + "[" * 5000 + "]" * 5000)
    result = workshop.run("validate", "laugh.yaml", "deep.yaml")
    assert result.returncode == 2
    assert "aliases make this document too large to be meant" in result.stderr
    assert "deep.yaml:1:1: nested too deep to be read" in result.stderr


@pytest.fixture
def own_app(workshop):
    """An app of one workload, whose ports nobody else has, and an experiment for it."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))  # noqa: S104 - every address, as a program that is in the way would
        port = probe.getsockname()[1]
    (workshop.folder / "shop").mkdir()
    workshop.write(
        "shop/app.yaml",
        "app: shop\nmanifests: [shop.yaml]\nbase: [gateway.yaml]\n"
        f"front: shop:{port}\ncommands:\n"
        '  shop-v1: {run: ["{python}", "-m", "http.server", "--bind", "{address}", "{port}"], ready: /}\n',
    )
    workshop.write(
        "shop/shop.yaml",
        STRANGER.replace("stranger", "shop", 1)
        .replace("stranger", "shop")
        .replace("{name: shop}", "{name: shop-v1}", 1)
        .replace("image: app", f"image: app, ports: [{{containerPort: {port}}}]")
        + "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop}\n"
        f"spec: {{selector: {{app: shop}}, ports: [{{port: {port}, name: http}}]}}\n",
    )
    workshop.write(
        "shop/gateway.yaml",
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: shop}\n"
        "spec: {selector: {istio: ingressgateway}, servers: "
        f"[{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['*']}}]}}\n"
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\n"
        "spec: {hosts: ['*'], gateways: [shop], http: [{route: [{destination: {host: shop}}]}]}\n",
    )
    workshop.write("load.py", (workshop.folder / "load.py").read_text().replace("/productpage", "/"))
    workshop.write(
        "own.yaml",
        "mesh: {app: shop/app.yaml}\nvariants: {as-it-is: {}}\nload:\n  locust: {file: load.py}\n"
        "  arrivals: {rate: 20/s}\n  warmup: 0s\n  duration: 500ms\nblocks: 1\n"
        "checks: {as-it-is: ['requests == 10', 'error_rate == 0%']}\n",
    )
    return port


def test_a_port_that_is_taken_is_named_with_its_holder(workshop, own_app):
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", own_app))  # noqa: S104 - the whole point
        holder.listen()
        for command in (("run", "own.yaml"), ("mesh", "up", "--app", "shop/app.yaml")):
            result = workshop.run(*command)
            assert result.returncode == 3
            assert re.search(rf"port {own_app} at 127\.[\d.]+ can't be used \(Address already in use\)", result.stderr)
            assert f"(process {os.getpid()}) listens on 0.0.0.0:{own_app}" in result.stderr
            assert f"End the program that listens on 0.0.0.0:{own_app}" in result.stderr
            assert nothing_is_left(workshop)
    result = workshop.run("run", "own.yaml")
    assert result.returncode in {0, 5}, result.stderr  # 5: a machine too busy to send in time
    folder = RunFolder.open(workshop.folder / result.stdout.strip())
    assert folder.document().variants[0].trials[0].requests == 10


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ('["{python}", "-c", "raise SystemExit(\'no database here\')"]', "ended with exit code 1: no database here"),
        ('["no-such-program"]', "could not start no-such-program: No such file or directory"),
    ],
)
def test_an_app_whose_command_fails_is_told_with_its_last_words(workshop, own_app, command, message):
    text = (workshop.folder / "shop" / "app.yaml").read_text()
    workshop.write("shop/app.yaml", re.sub(r"run: \[.*?\](?=, ready)", f"run: {command}", text))
    result = workshop.run("run", "own.yaml")
    assert result.returncode == 3
    assert f"shop-v1 app {message}" in result.stderr
    assert nothing_is_left(workshop)


def test_an_app_that_never_gets_ready_does_not_hold_up_who_wants_to_stop(workshop, own_app):
    text = (workshop.folder / "shop" / "app.yaml").read_text()
    waits = '["{python}", "-uc", "import time; print(\'waiting for the database\'); time.sleep(1000)"]'
    workshop.write("shop/app.yaml", re.sub(r"run: \[.*?\](?=, ready)", f"run: {waits}", text))
    process = workshop.start("run", "own.yaml")
    state = workshop.folder.parent / "state" / "meshtrial" / "meshes"
    deadline = time.monotonic() + 60
    while not any("waiting" in log.read_text() for log in state.glob("*/shop-v1.app.log")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=25)  # far less than the half minute that an app may take
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "meshtrial: stopped by SIGINT"
    assert nothing_is_left(workshop)


def test_an_experiment_is_read_relative_to_its_own_file(workshop, own_app, tmp_path):
    """Called from elsewhere, in a folder whose name has blanks and no ASCII."""
    odd = tmp_path / "zwei Wörter ☃"
    workshop.folder.rename(odd)
    workshop.folder = tmp_path
    result = workshop.run("run", odd / "own.yaml", "--results", odd / "Ergebnisse hier")
    assert result.returncode in {0, 5}, result.stderr
    assert result.stdout.startswith(f"{odd}/Ergebnisse hier/own/")
    document = RunFolder.open(tmp_path / result.stdout.strip()).document()
    assert document.variants[0].trials[0].requests == 10
    assert f"'{odd}/own.yaml'" in document.command


def test_a_run_goes_on_when_nobody_listens_any_more(workshop, own_app):
    """`meshtrial run 2>&1 | head -1`: the reader goes, the run does not."""
    process = workshop.start("run", "own.yaml")
    process.stderr.close()
    out = process.stdout.read()
    process.stdout.close()
    process.wait(timeout=60)
    assert process.returncode in {0, 5}
    assert RunFolder.open(workshop.folder / out.strip()).document().ended
    assert nothing_is_left_of_the_mesh(workshop)


def nothing_is_left_of_the_mesh(shop):
    return not list((shop.folder.parent / "state" / "meshtrial").glob("*/*"))


def test_two_runs_at_once_with_fresh_meshes_do_not_meet(workshop, own_app):
    runs = [workshop.start("run", "own.yaml", "--fresh", "--results", name) for name in ("one", "two")]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert run.returncode in {0, 5}, err
        assert RunFolder.open(workshop.folder / out.strip()).document().variants[0].trials[0].requests == 10
    assert nothing_is_left_of_the_mesh(workshop)


@pytest.mark.parametrize("command", [("run", "own.yaml"), ("mesh", "up", "--app", "shop/app.yaml")])
def test_a_state_folder_that_can_not_be_made_is_told(workshop, own_app, command):
    workshop.environment["XDG_STATE_HOME"] = str(workshop.write("a-file", ""))
    result = workshop.run(*command)
    assert (result.returncode, result.stdout) == (3, "")
    assert "can't be made: Not a directory" in result.stderr
    assert "set XDG_STATE_HOME to a writable place" in result.stderr.replace("Set", "set")
    assert not (workshop.folder / "results").exists()


@pytest.mark.parametrize("results", ["delay.yaml/below", "/proc/nothing"])
def test_a_results_folder_that_can_not_be_made_is_told_and_the_mesh_ended(workshop, own_app, results):
    result = workshop.run("run", "own.yaml", "--results", results)
    assert (result.returncode, result.stdout) == (3, "")
    assert f"{results}/own/" in result.stderr
    assert "could not be written" in result.stderr
    assert nothing_is_left_of_the_mesh(workshop)


def test_a_mesh_in_which_two_resources_want_the_same_host_warns_and_never_passes(workshop):
    """What a user applied under another name wins over the variant's, as the older one does in Istio."""
    assert workshop.run("mesh", "up").returncode == 0
    mine = (
        (workshop.folder / "delay.yaml")
        .read_text()
        .replace("{name: details}", "{name: mine}")
        .replace("- fault: {delay: {percentage: {value: 100}, fixedDelay: 300ms}}\n    ", "- ")
    )
    assert workshop.run("mesh", "apply", "-f", workshop.write("mine.yaml", mine)).returncode == 0
    change(workshop, "slow.yaml", ("p50 >= 300ms", "p50 >= 0ms"), ("duration: 2s", "duration: 500ms"), ("== 80", "> 0"))
    result = workshop.run("run", "slow.yaml", "--only", "slow-details")
    assert 'VirtualService default/mine has the host "details"' in result.stderr
    assert "mine.yaml:2:1" in result.stderr
    assert result.returncode == 5
    assert "fault_not_fired" in result.stderr
