"""Whose routes answer at a shared Gateway, as it was measured on a cluster: by age, and those that take everything last."""

import pytest

from runner.istio.load import parse_manifests
from runner.mesh.cluster.gateway_routes import NEW, rivals
from runner.mesh.cluster.held import Held

TEXT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: SPACE}
spec:
  hosts: ["*"]
  gateways: [shop/door]
  http: [{MATCH route: [{destination: {host: a.shop.svc.cluster.local}}]}]
"""
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["HOST"]}]
"""
OLD, YOUNG = "2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z"


def parse(text, space):
    return parse_manifests(text, "a.yaml", namespace=space, embedded=False)[0]


def service(match, name="mine", space="shop", **changes):
    text = TEXT.replace("NAME", name).replace("SPACE", space).replace("MATCH", f"match: [{match}]," if match else "")
    for old, new in changes.values():
        text = text.replace(old, new)
    return parse(text, space)


def rival(mine, theirs, *, older, created=OLD, host="*", spaces=("istio-system",), **changes):
    """What is found of a VirtualService elsewhere, of which the older one is `theirs` or not."""
    other = service(theirs, "theirs", "other", **changes)
    when = {True: "2026-11-24T09:00:00Z", False: YOUNG}[older]
    held = Held(other, "1", "u", 1, "kubectl at noon", when)
    gateway = parse(GATEWAY.replace("HOST", host), "shop")
    return list(rivals([(service(mine), created)], [held], [gateway], spaces))


PAGE, ALL = "{uri: {exact: /page}}", "{uri: {prefix: /}}"


@pytest.mark.parametrize(
    ("mine", "theirs", "older", "lost", "first"),
    [
        (PAGE, PAGE, True, ("/page",), ()),
        (PAGE, "{uri: {prefix: /pa}}", True, ("/page",), ()),
        (PAGE, PAGE, False, (), ()),
        (PAGE, ALL, True, (), ()),
        (PAGE, "", True, (), ()),
        (PAGE, "{uri: {exact: /other}}", True, (), ()),
        ("", PAGE, False, (), ("/page",)),
        ("", "", False, (), ()),
        (ALL, "", True, ("/*",), ()),
        (PAGE, "{uri: {exact: /page}, headers: {a: {exact: b}}}", True, (), ("/page",)),
        (PAGE, "{uri: {regex: /p.*}}", True, (), ("/p.*",)),
    ],
)
def test_who_answers(mine, theirs, older, lost, first):
    (found,) = rival(mine, theirs, older=older)
    assert (found.lost, found.first) == (lost, first)
    words = str(found)
    assert words.startswith(
        "VirtualService other/theirs (last written by kubectl at noon) has the host * at the Gateway shop/door too"
    )
    assert ("in the place of VirtualService shop/mine" in words) == bool(lost)
    assert ("before routes of VirtualService shop/mine" in words) == bool(first and not lost)


def test_what_is_not_there_yet_is_younger_than_all():
    (found,) = rival(PAGE, PAGE, older=False, created=NEW)
    assert found.lost == ("/page",)


def test_no_rival_where_it_can_not_be():
    assert not rival(PAGE, PAGE, older=True, host="./*")
    assert rival(PAGE, PAGE, older=True, host="other/*")
    assert not rival(PAGE, PAGE, older=True, hosts=('hosts: ["*"]', "hosts: [a.example]"))
    assert not rival(PAGE, PAGE, older=True, gateways=("shop/door", "shop/another"))
    private = ('hosts: ["*"]', 'hosts: ["*"]\n  exportTo: [other]')
    assert not rival(PAGE, PAGE, older=True, export=private)
    assert rival(PAGE, PAGE, older=True, spaces=(), export=private)
    assert rival(PAGE, "{uri: {exact: /page}, gateways: [mesh]}", older=True)[0].lost == ()
