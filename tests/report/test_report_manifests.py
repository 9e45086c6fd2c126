from __future__ import annotations

from runner.report.limits import Limits
from runner.report.manifests import applied, diffs, resources
from runner.results.document.manifest import ManifestRecord
from runner.results.document.run import MeshRecord, RunDocument
from runner.results.document.variant import VariantRecord

A = "apiVersion: v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {x: 1}\n"


def document(*variants):
    return RunDocument(
        experiment="e",
        mesh=MeshRecord(kind="local"),
        variants=[
            VariantRecord(
                name=name,
                baseline=place == 0,
                manifests=[ManifestRecord(name=file, file=file, resources=[]) for file in files],
            )
            for place, (name, *files) in enumerate(variants)
        ],
    )


def signs(diff):
    return [(line.sign, line.text) for line in diff.lines if line.sign in "+-"]


def test_a_changed_resource_is_shown_by_its_changed_lines(run):
    (found,) = diffs(run.document, run.manifests, Limits())
    assert found.variant == "timeout-500ms"
    (changed,) = found.diffs
    assert (changed.name, changed.what) == ("VirtualService default/reviews", "changed")
    assert signs(changed) == [("+", "    timeout: 0.5s")]
    assert changed.files == "istio/reviews-v2.yaml → istio/reviews-timeout-500ms.yaml"
    assert found.same == ["DestinationRule default/reviews", "VirtualService default/ratings"]


def test_a_later_file_replaces_a_resource_as_a_whole():
    texts = {"1": A, "2": A.replace("x: 1", "x: 2"), "3": A.replace("x: 1", "x: 3")}
    (found,) = diffs(document(("base", "1", "2"), ("other", "1", "3")), texts, Limits())
    assert signs(found.diffs[0]) == [("-", "spec: {x: 2}"), ("+", "spec: {x: 3}")]


def test_added_and_removed_resources():
    b = A.replace("name: a", "name: b")
    (found,) = diffs(document(("base", "1"), ("other", "2")), {"1": A, "2": b}, Limits())
    assert [(diff.name, diff.what) for diff in found.diffs] == [
        ("VirtualService default/a", "removed"),
        ("VirtualService default/b", "added"),
    ]
    assert {sign for sign, _ in signs(found.diffs[0])} == {"-"}
    assert {sign for sign, _ in signs(found.diffs[1])} == {"+"}


def test_several_documents_in_a_file_are_told_apart_and_keep_their_text():
    text = f"# first\n{A}---\n# second\n{A.replace('name: a', 'name: b, namespace: shop')}---\n"
    assert list(resources(text, "f")) == ["VirtualService default/a", "VirtualService shop/b"]
    assert resources(text, "f")["VirtualService shop/b"].startswith("# second\n")


def test_what_is_no_yaml_is_compared_as_text():
    texts = {"1": "a: [", "2": "a: {"}
    (found,) = diffs(document(("base", "1"), ("other", "2")), texts, Limits())
    assert [diff.name for diff in found.diffs] == ["1", "2"]


def test_equal_variants_have_no_diff_and_one_variant_none_at_all():
    (found,) = diffs(document(("base", "1"), ("other", "1")), {"1": A}, Limits())
    assert found.diffs == []
    assert diffs(document(("base", "1")), {"1": A}, Limits()) == []


def test_long_manifests_are_cut_and_say_so():
    long = A + "".join(f"# line {number}\n" for number in range(100))
    doc = document(("base", "1"), ("other", "2"))
    (found,) = diffs(doc, {"1": A, "2": long}, Limits(diff_lines=10))
    assert len(found.diffs[0].lines) == 10
    assert found.note
    shown = applied(doc, {"2": long}, Limits(diff_lines=10, line_length=5))
    assert shown[0].manifests[0].text == "# the copy is missing from the run folder"
    assert shown[1].manifests[0].text.splitlines()[-1] == "# … 94 more lines in the run folder"
    assert shown[1].manifests[0].text.splitlines()[0] == "apiVe…"


def test_the_same_file_is_shown_once(run):
    first, second = applied(run.document, run.manifests, Limits())
    assert first.manifests[0].text.startswith("apiVersion")
    assert second.manifests[0].text == "# the same file as under slow-ratings, above"
