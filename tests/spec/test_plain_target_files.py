from __future__ import annotations

import pytest

from runner.errors import InputError

NONE = "mesh: {none: {url: 'http://127.0.0.1:8080'}}\n"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a?b=c", "has a query, which belongs to the loadfile's requests"),
        ("http://a/#top", "has a fragment"),
        ("http://a:99999/", "is not a URL"),
        ("http://a:0/", "is not a URL"),
        ("http://[::1/", "is not a URL"),
        ("http://:80/", "is not a URL"),
        ("file:///etc/passwd", "is not a URL"),
    ],
)
def test_a_url_that_no_request_could_go_to_is_refused(project, url, said) -> None:
    with pytest.raises(InputError, match=said):
        project.load(f"mesh: {{none: {{url: '{url}'}}}}\nvariants: {{a: }}\n")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://me:pw@shop.example.org/api/", "http://[::1]:80/"])
def test_any_other_is_taken_as_it_is(project, url) -> None:
    experiment = project.load(f"mesh: {{none: {{url: '{url}'}}}}\nvariants: {{a: {{url: '{url}'}}}}\n").experiment
    assert experiment.mesh.none.url == experiment.variants["a"].url == url


def test_a_guardrail_that_nothing_could_watch_is_refused(project) -> None:
    with pytest.raises(InputError, match=r"4:12: a mesh of kind none has no proxies, so nothing could watch proxy"):
        project.load(NONE + 'variants: {a: }\n\nstop_if: ["proxy[a upstream_rq_timeout] > 3"]\n')
    project.load(NONE + "variants: {a: }\nstop_if: ['error_rate > 50%']\n")


def test_checks_on_proxies_are_warned_of_and_counted(project) -> None:
    checks = "checks: {a: ['proxy[x y] > 0', 'requests == proxy[x y]', 'requests > 0']}\n"
    warnings = project.load(NONE + "variants: {a: }\n" + checks).warnings
    assert any("no proxies, so `a: proxy[x y] > 0` will be inconclusive, and 1 more" in text for text in warnings)
    assert not any("no proxies" in text for text in project.load("variants: {a: }\n" + checks).warnings)


def test_a_variant_keeps_its_family_and_its_matrix_values(project) -> None:
    text = """\
        matrix: {delay: [0.5s, 1s], on: [true, null]}
        variants:
          plain: {}
          both: {apply: [{kind: VirtualService, delay: "{{ delay }}", on: "{{ on }}"}]}
          named-{{ delay }}: {apply: [{kind: VirtualService, delay: "{{ delay }}"}]}
    """
    variants = project.load(text).experiment.variants
    found = {name: (variant.family, variant.matrix) for name, variant in variants.items()}
    assert found["plain"] == ("plain", {})
    assert found["both[delay=0.5s,on=null]"] == ("both", {"delay": "0.5s", "on": "null"})
    assert found["named-1s"] == ("named-{{ delay }}", {"delay": "1s"})
