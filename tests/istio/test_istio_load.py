from __future__ import annotations

import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import InputError, Position
from runner.istio.destination_rule import DestinationRule
from runner.istio.fields import IstioModel
from runner.istio.kinds import KINDS
from runner.istio.kube import KubeModel
from runner.istio.load import load_manifests, merge, parse_manifests, refuse_twice, resource_from, resources_from, typed
from runner.istio.resource import ResourceKey
from runner.istio.virtual_service import VirtualService
from runner.yamlfile.documents import parse_documents

ABORT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ratings
spec:
  hosts: [ratings]
  http:
  - fault:
      abort:
        percentage: {value: 100}
        httpStatus: 500
    route:
    - destination: {host: ratings, subset: v1}
"""

RULE = """\
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: ratings, namespace: other, labels: {team: a}}
spec:
  host: ratings
"""


def refused(text):
    with pytest.raises(InputError) as error:
        parse_manifests(text, "f.yaml")
    return [str(problem) for problem in error.value.problems]


def test_a_file_with_several_documents(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(f"# head\n---\n{ABORT}---\n---\n{RULE}", encoding="utf-8")
    first, second = load_manifests(path, "shown.yaml")
    assert first.key == ResourceKey("VirtualService", "default", "ratings")
    assert second.key == ResourceKey("DestinationRule", "other", "ratings")
    assert second.labels == {"team": "a"}
    assert first.body["metadata"]["namespace"] == "default"
    assert first.position("spec", "hosts") == Position("shown.yaml", 8, 10)
    assert isinstance(typed(first), VirtualService)
    assert isinstance(typed(second), DestinationRule)


def test_the_namespace_of_those_that_name_none_can_be_given(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(f"{ABORT}---\n{RULE}", encoding="utf-8")
    assert [resource.key.namespace for resource in load_manifests(path, namespace="prod")] == ["prod", "other"]


def test_a_spec_is_read_once():
    (resource,) = parse_manifests(ABORT, "f.yaml")
    assert typed(resource) is typed(resource)


def test_what_was_written_is_left_alone():
    (document,) = parse_documents(ABORT, "f.yaml")
    before = copy.deepcopy(document.data)
    resource_from(document)
    assert document.data == before


def test_lists_as_kubectl_prints_them_are_taken_apart():
    text = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ServiceAccount
  metadata: {name: a}
  secrets: []
- apiVersion: v1
  kind: Service
  metadata: {name: a, uid: x, resourceVersion: "1"}
  spec: {ports: [{port: 80}]}
  status: {loadBalancer: {}}
"""
    account, service = parse_manifests(text, "f.yaml")
    assert (account.key.kind, service.key.kind) == ("ServiceAccount", "Service")
    assert service.position("spec", "ports") == Position("f.yaml", 11, 17)
    assert refused("apiVersion: v1\nkind: ServiceList\n") == [
        "f.yaml:1:1: ServiceList without items; expected a list of resources in `items`"
    ]
    assert refused(text.replace("port: 80", "port: no"))[0].startswith("f.yaml:11:25: spec.ports.0.port: ")


def test_an_inline_resource_keeps_its_place_in_the_experiment():
    text = "variants:\n  a:\n    apply:\n    - apiVersion: networking.istio.io/v1\n      kind: DestinationRule\n"
    text += "      metadata: {name: a}\n      spec: {host: a, tls: {}}\n"
    (document,) = parse_documents(text, "e.yaml")
    with pytest.raises(InputError) as error:
        resources_from(document.under("variants", "a", "apply", 0))
    (problem,) = error.value.problems
    assert problem.where == Position("e.yaml", 7, 23)


def test_a_field_of_istios_is_told_from_an_unknown_word():
    text = ABORT.replace("  - fault:", "  - corsPolicy: {}\n    tiemout: 1s\n    fault:")
    cors, typo = refused(text)
    assert cors == 'f.yaml:8:5: "corsPolicy" is a field of Istio\'s that the embedded mesh does not support yet'
    assert typo.startswith('f.yaml:9:5: unknown key "tiemout"; expected one of name, match, route,')
    assert typo.endswith('Did you mean "timeout"?')


def test_the_python_spelling_of_a_key_is_not_istios():
    (problem,) = refused(ABORT.replace("httpStatus", "http_status"))
    assert 'unknown key "http_status"' in problem
    assert 'Did you mean "httpStatus"?' in problem


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("  hosts: [ratings]", "  hosts: [ratings]\n  tcp: []", "tcp"),
        ("percentage: {value: 100}", "percentage: {value: 100}\n        http2Error: X", "http2Error"),
        ("  - fault:", "  - match: [{statPrefix: a}]\n    fault:", "statPrefix"),
        ("  - fault:", "  - delegate: {name: a}\n    fault:", "delegate"),
    ],
)
def test_fields_not_supported_yet_at_any_depth(old, new, key):
    (problem,) = refused(ABORT.replace(old, new))
    assert f'"{key}" is a field of Istio\'s' in problem


def test_an_unknown_key_hides_no_other_mistake():
    text = ABORT.replace("value: 100", "value: 101").replace("    route:", "    tiemout: 1s\n    route:")
    problems = refused(text)
    assert len(problems) == 2
    assert problems[0].startswith("f.yaml:10:29: ")
    assert 'unknown key "tiemout"' in problems[1]


def test_a_bare_value_where_a_mapping_belongs():
    (problem,) = refused(ABORT.replace("{value: 100}", "100"))
    assert (
        problem == "f.yaml:10:21: spec.http.0.fault.abort.percentage: 100 is no mapping; expected a mapping with value"
    )


def test_a_mapping_that_lost_its_only_known_key_is_reported_once():
    (problem,) = refused(ABORT.replace("      abort:", "      abrot:"))
    assert problem.startswith('f.yaml:9:7: unknown key "abrot"; expected one of delay, abort')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just text", "f.yaml:1:1: this is no resource; expected a mapping with apiVersion, kind and metadata"),
        ("- 1", "f.yaml:1:1: this is no resource"),
        (
            "apiVersion: v1",
            "a resource without a kind; expected one of VirtualService, DestinationRule, Gateway, Service",
        ),
        ("kind: 5", "a resource without a kind"),
        ("kind: VirtualServcie", 'f.yaml:1:7: the embedded mesh does not know the kind "VirtualServcie"'),
        ("kind: VirtualServcie", 'Did you mean "VirtualService"?'),
        ("apiVersion: v1\nkind: ConfigMap", 'does not know the kind "ConfigMap"'),
        ("kind: Service", "f.yaml:1:1: Service without apiVersion; expected v1"),
        (
            "apiVersion: v1\nkind: VirtualService",
            'f.yaml:1:13: VirtualService has no apiVersion "v1"; expected networking',
        ),
        ("apiVersion: 1\nkind: Service", 'Service has no apiVersion "1"'),
        ("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway", "does not support the Kubernetes Gateway API yet"),
        (
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry",
            "f.yaml:2:7: ServiceEntry is a kind of Istio's that the embedded mesh does not support yet",
        ),
        ("apiVersion: security.istio.io/v1\nkind: RequestAuthentication", "does not support yet"),
        ("apiVersion: v1\nkind: ServiceAccount", "ServiceAccount without metadata"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {}", "f.yaml:3:1: ServiceAccount without a name"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: A_b}", "f.yaml:3:18: 'A_b' is not a name"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: 5}", "5 is not a name"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: a.b}", "'a.b' is not a namespace"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, labels: [a]}", "metadata.labels is not a mapping"),
        (
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, labels: {v: 1}}",
            "metadata.labels.v: 1 is not text",
        ),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\nspec: [1]", "is not a mapping"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}", '"ports" is missing'),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nports: []", "It belongs under spec of this Service"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetdata: {}\nmetadata: {name: a}", 'Did you mean "metadata"?'),
    ],
)
def test_envelopes_that_can_not_be(text, message):
    assert any(message in problem for problem in refused(text)), refused(text)


def test_all_problems_of_a_file_come_together():
    text = f"kind: Nope\n---\n{ABORT.replace('500', '5000')}---\n{ABORT}---\n{ABORT}"
    problems = refused(text)
    assert len(problems) == 3
    assert "VirtualService default/ratings stands here twice" in problems[2]


def test_an_empty_file_has_no_resources(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(InputError, match="no resources in this file"):
        load_manifests(path)
    with pytest.raises(InputError, match="no such file"):
        load_manifests(tmp_path / "absent.yaml")


def test_later_layers_replace_whole_specs_and_keep_the_order():
    (base,) = parse_manifests(ABORT, "base.yaml")
    (rule,) = parse_manifests(RULE, "rule.yaml")
    (later,) = parse_manifests(ABORT.replace("500", "503"), "later.yaml")
    state = merge([base, rule], [later])
    assert [resource.key for resource in state] == [base.key, rule.key]
    assert state[0] is later
    assert merge([base], [], [rule]) == [base, rule]


def test_twice_in_one_layer_is_a_mistake():
    resources = [*parse_manifests(ABORT, "a.yaml"), *parse_manifests(ABORT, "b.yaml")]
    with pytest.raises(InputError) as error:
        merge([], resources)
    assert str(error.value).startswith(
        "b.yaml:4:9: VirtualService default/ratings stands here twice. The first is at a.yaml:4:9"
    )
    refuse_twice(resources[:1])


def keys_of(base):
    for model in base.__subclasses__():
        yield from (info.alias for info in model.model_fields.values())
        yield from keys_of(model)


KEYS = st.sampled_from(
    sorted({*keys_of(IstioModel), *keys_of(KubeModel), "apiVersion", "kind", "spec", "items", "tls"})
)
WORDS = st.sampled_from(
    ["v1", "apps/v1", "networking.istio.io/v1", "List", "ServiceList", "a", "0s", "1s", "*", "(", "", *KINDS]
)
SCALARS = WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS, part, max_size=5), max_leaves=20
)


def problems(text):
    """What is wrong with any text; anything but an InputError is a failure of the test."""
    try:
        parse_manifests(text, "f.yaml")
    except InputError as error:
        return error.problems
    return []


@settings(max_examples=300)
@given(st.text())
def test_any_text_is_read_or_refused(text):
    assert all(str(problem) for problem in problems(text))


@settings(max_examples=300)
@given(
    st.sampled_from([kind for kind in KINDS.values() if kind.model]), VALUES, st.dictionaries(KEYS, VALUES, max_size=4)
)
def test_any_spec_is_read_or_refused_with_its_place(kind, spec, rest):
    data = {**rest, "apiVersion": kind.api_versions[0], "kind": kind.name, "metadata": {"name": "a"}, "spec": spec}
    assert all(problem.where for problem in problems(yaml.safe_dump(data)))


@settings(max_examples=200)
@given(VALUES)
def test_any_yaml_is_read_or_refused_with_its_place(value):
    assert all(problem.where for problem in problems(yaml.safe_dump(value)))
