"""`meshtrial mesh ...`: a mesh that stays up, worked with by hand, from wherever one stands."""

import json
import re
import urllib.request

import yaml

TEAPOT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [shop]
  http:
  - match: [{headers: {x-tea: {exact: "on"}}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: shop}}]
  - route: [{destination: {host: shop}}]
"""


def status_of(url, **headers):
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a loopback address
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_mesh_by_hand(desk):
    up = desk.run("mesh", "up", "--app", "./app.yaml", cwd=desk.folder / "shop")
    assert up.returncode == 0, up.stderr
    url = up.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"http://127\.\d+\.\d+\.9:8080", url)
    assert status_of(url) == 200
    again = desk.run("mesh", "up", "--app", desk.folder / "shop" / "app.yaml")
    assert (again.returncode, again.stdout.strip()) == (0, url)
    assert "it was up already" in again.stderr

    status = desk.run("mesh", "status").stdout
    assert f"gateway: {url}" in status
    header, *rows = [line.split() for line in status.splitlines()[3:]]
    assert header == ["POD", "INBOUND", "OUTBOUND", "ADMIN", "CONFIG"]
    assert [row[0] for row in rows] == ["istio-ingressgateway", "shop-v1", "client"]
    assert all(re.fullmatch(r"[0-9a-f]{12}", row[4]) for row in rows)

    desk.write("teapot.yaml", TEAPOT)
    before = desk.run("mesh", "get", "all", "-o", "yaml").stdout
    assert desk.run("mesh", "apply", "-f", "teapot.yaml").stdout == "virtualservice/shop configured\n"
    assert status_of(url, **{"X-Tea": "on"}) == 418
    assert desk.run("mesh", "apply", "-f", "teapot.yaml").stdout == "virtualservice/shop unchanged\n"
    held = desk.run("mesh", "get", "vs", "shop", "-o", "yaml").stdout
    assert yaml.safe_load(held)["spec"]["http"][0]["match"] == [{"headers": {"x-tea": {"exact": "on"}}}]
    desk.write("held.yaml", held)
    assert desk.run("mesh", "apply", "-f", "held.yaml").stdout == "virtualservice/shop unchanged\n"
    assert len(json.loads(desk.run("mesh", "get", "all", "-o", "json").stdout)) == 3
    assert desk.run("mesh", "get", "gateways").stdout == "gateway/shop\n"

    stats = desk.run("mesh", "stats", "gateway", "--filter", r"fault\.aborts_injected$").stdout
    assert re.fullmatch(r"[\w.;]+\.fault\.aborts_injected: 1\n", stats)
    last = desk.run("mesh", "logs", "gateway", "--tail", "1")
    assert last.returncode == 0
    assert "GET / HTTP/1.1" in desk.run("mesh", "logs", "shop-v1", "--app").stdout

    assert desk.run("mesh", "delete", "vs", "shop").stdout == "virtualservice/shop deleted\n"
    assert status_of(url) == 404
    desk.write("before.yaml", before)
    assert "virtualservice/shop created" in desk.run("mesh", "apply", "-f", "before.yaml").stdout
    assert desk.run("mesh", "get", "all", "-o", "yaml").stdout.count("---") == before.count("---")
    assert desk.run("mesh", "down").stdout.startswith("ended shop-")
    assert not list(desk.state.glob("meshtrial/*/*"))


def test_what_is_wrong_is_told_and_changes_nothing(desk):
    assert desk.run("mesh", "up", "--app", "shop/app.yaml").returncode == 0
    before = desk.run("mesh", "status").stdout
    desk.write("wrong.yaml", TEAPOT.replace("host: shop", "host: shap"))
    told = [
        (("apply", "-f", "wrong.yaml"), 'wrong.yaml:11:34: no Service has the host "shap"'),
        (("apply", "-f", "wrng.yaml"), 'wrng.yaml: no such file. Did you mean "wrong.yaml"?'),
        (("delete", "vs", "shap"), "VirtualService default/shap is not applied. Nothing was deleted"),
        (("delete",), "nothing to delete was named; expected -f FILE, or a kind and names"),
        (("get", "vs", "shap"), 'no VirtualService called shap is applied. Did you mean "shop"?'),
        (("get", "virtualservce"), 'there is no kind "virtualservce"'),
        (("stats", "shop-v2"), 'there is no workload "shop-v2" in this mesh; expected one of gateway, shop-v1, client'),
        (("stats", "client", "--filter", "["), "--filter [: no regular expression"),
        (("logs", "client", "--app"), "client has no such log"),
    ]
    for arguments, message in told:
        result = desk.run("mesh", *arguments)
        assert (result.returncode, result.stdout) == (2, ""), result.stderr
        assert message in result.stderr
    assert desk.run("mesh", "status").stdout == before


def test_without_a_mesh_each_command_says_how_to_get_one(desk):
    for arguments in (("status",), ("get", "all"), ("stats", "x"), ("logs", "x"), ("delete", "vs", "x")):
        result = desk.run("mesh", *arguments)
        assert (result.returncode, result.stdout) == (3, "")
        assert result.stderr == "meshtrial: no embedded mesh is up. Start one with `meshtrial mesh up`\n"
    result = desk.run("mesh", "down", "--app", "httpbin")
    assert (result.returncode, result.stdout) == (0, "no embedded mesh of httpbin was up\n")


def test_a_run_leaves_the_mesh_of_another_app_alone_and_keep_leaves_its_own(desk):
    """A copied app file with the same name is another app; `--keep` leaves the mesh of a run that broke off."""
    desk.write("other/app.yaml", (desk.folder / "shop" / "app.yaml").read_text())
    for name in ("shop.yaml", "gateway.yaml"):
        desk.write(f"other/{name}", (desk.folder / "shop" / name).read_text())
    assert desk.run("mesh", "up", "--app", "other/app.yaml").returncode == 0
    other = desk.run("mesh", "status").stdout
    desk.write("load.py", "import os\n" + (desk.folder / "load.py").read_text() + "        os._exit(7)\n")
    result = desk.run("run", "look.yaml", "--keep")
    assert result.returncode == 3
    assert "joined" not in result.stderr
    assert "Locust died in the middle of a window (exit code 7)" in result.stderr
    kept = re.search(r"the mesh was left up: (shop-\w+)", result.stderr)
    assert kept
    assert kept[1] not in other
    assert kept[1] in desk.run("mesh", "status").stdout, "the one that was left last"
    assert desk.run("mesh", "status", "--app", "other/app.yaml").stdout == other
    for words in (
        ("stats", "gateway", "--filter", "no-such-stat"),
        ("get", "vs"),
        ("apply", "-f", "shop/gateway.yaml"),
    ):
        assert desk.run("mesh", *words, "--app", "other/app.yaml").returncode == 0
    assert desk.run("mesh", "logs", "gateway", "--mesh-app", "other/app.yaml").returncode == 0
    gone = desk.run("mesh", "status", "--app", "httpbin")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert "no embedded mesh of httpbin is up. Start one with `meshtrial mesh up --app httpbin`" in gone.stderr
    down = desk.run("mesh", "down", "--app", "shop/app.yaml").stdout
    assert down == f"ended {kept[1]}\n"
    assert desk.run("mesh", "status").stdout == other
