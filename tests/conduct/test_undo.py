"""Who an object belongs to after a run wrote it, and what becomes of what somebody else did to it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.conduct.restoring import disturbed, kept_metadata, left_as_it_is, put_back
from runner.conduct.undo import Undo, judge, note
from runner.errors import MeshError
from runner.istio.resource import Resource, ResourceKey
from runner.mesh.base import ChangedError
from runner.yamlfile.documents import Document


def resource(name="a", spec=0, **metadata):
    key = ResourceKey("VirtualService", "default", name)
    body = {"apiVersion": "v1", "kind": key.kind, "metadata": {"name": name, **metadata}, "spec": {"n": spec}}
    return Resource(key, body, Document("a.yaml", body, {}, {}))


KEY = resource().key


def judged(before, ours, now):
    written = {}
    note(written, [ours], ())
    return judge({item.key: item for item in before}, written, now)


def test_a_label_on_an_object_that_was_there_before_is_kept_when_its_spec_is_put_back():
    before = resource(spec=1, labels={"team": "books", "old": "x"}, annotations={"note": "kept"})
    ours = resource(spec=2, labels={"mine": "yes", "old": "x"})
    now = resource(spec=2, labels={"mine": "yes", "theirs": "1"}, finalizers=["keep"])
    work = judged([before], ours, [now])
    assert (work.merged, work.foreign, work.delete) == ([KEY], [], [])
    (put,) = work.put
    assert put.spec == {"n": 1}
    assert put.body["metadata"] == {
        "name": "a", "labels": {"team": "books", "theirs": "1"}, "annotations": {"note": "kept"}, "finalizers": ["keep"]
    }  # fmt: skip


def test_a_label_on_an_object_that_the_run_made_goes_with_it():
    work = judged([], resource(spec=2), [resource(spec=2, labels={"theirs": "1"})])
    assert (work.delete, work.lost, work.foreign) == ([KEY], [KEY], [])
    assert kept_metadata(work) == [
        "VirtualService default/a: removed, and with it the metadata that somebody had changed meanwhile"
    ]


@pytest.mark.parametrize("before", [[], [resource(spec=1)]])
def test_a_spec_that_somebody_changed_is_theirs(before):
    work = judged(before, resource(spec=2), [resource(spec=3)])
    assert work == Undo(foreign=[KEY])
    (said,) = left_as_it_is(work.foreign, work.missing)
    assert said.startswith(
        "VirtualService default/a was left as somebody else changed it, and may still say some of what"
    )


def test_what_was_there_before_and_was_deleted_is_left_deleted():
    work = judged([resource(spec=1)], resource(spec=2), [])
    assert work == Undo(missing=[KEY])
    assert "it was left deleted: apply it again" in left_as_it_is(work.foreign, work.missing)[0]
    assert work.target([resource(spec=1), resource("b")], [resource("b")]) == [resource("b")]


@pytest.mark.parametrize("labels", [{}, {"labels": {"argocd.argoproj.io/instance": "shop"}}])
def test_what_somebody_put_back_needs_nothing(labels):
    work = judged([resource(spec=1)], resource(spec=2), [resource(spec=1, **labels)])
    assert work == Undo(as_before=[KEY])


def test_a_state_in_which_something_is_somebody_elses_keeps_it_and_the_order():
    before = [resource("b", 1), resource("a", 1), resource("c", 1)]
    now = [resource("a", 7), resource("b", 2), resource("made", 9), resource("c", 1)]
    written = {}
    note(written, [resource(name, 2) for name in ("b", "a", "made")], ())
    work = judge({item.key: item for item in before}, written, now)
    assert [item.body for item in work.target(before, now)] == [
        item.body for item in (resource("b", 1), resource("a", 7), resource("c", 1), resource("made", 9))
    ]


maps = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@given(before=maps, ours=maps, theirs=maps)
def test_metadata_is_as_before_but_for_what_somebody_changed(before, ours, theirs):
    work = judged([resource(spec=1, labels=before)], resource(spec=2, labels=ours), [resource(spec=2, labels=theirs)])
    (put,) = work.put
    for name in "abc":
        wanted = before.get(name) if ours.get(name) == theirs.get(name) else theirs.get(name)
        assert put.labels.get(name) == wanted
    assert json.loads(put.canonical())["spec"] == {"n": 1}


class Shared:
    """Resources that somebody changes at certain moments: before the writes whose numbers are given."""

    def __init__(self, held, changes):
        self.held = {item.key: item for item in held}
        self.changes, self.writes, self.fresh = changes, 0, {}

    def applied(self):
        self.fresh = dict(self.held)
        return list(self.held.values())

    def give_back(self, put, delete):
        for item in self.changes.get(self.writes, []):
            self.held[item.key] = item
        self.writes += 1
        changed = []
        for key, item in [*((item.key, item) for item in put), *((key, None) for key in delete)]:
            if self.held.get(key) != self.fresh.get(key):
                changed.append(key)
            elif item is None:
                del self.held[key]
            else:
                self.held[key] = item
        if changed:
            raise ChangedError(f"{changed} changed")

    def last_writer(self, key):
        return "argo at noon" if key == KEY else ""


def _written(*resources):
    written = {}
    note(written, resources, ())
    return written


def test_who_changes_something_between_the_look_and_the_write_keeps_it_and_nothing_else():
    mesh = Shared([resource("a", 2), resource("b", 2)], {0: [resource("a", 5)]})
    before = {item.key: item for item in (resource("a", 1), resource("b", 1))}
    work = put_back(mesh, before, _written(resource("a", 2), resource("b", 2)))
    assert work.foreign == [KEY]
    assert mesh.held[KEY].spec == {"n": 5}
    assert mesh.held[resource("b").key].spec == {"n": 1}
    assert disturbed(mesh, work, before)[0] == "VirtualService default/a was changed by somebody else (argo at noon)"


def test_a_mesh_that_changes_all_the_time_is_given_up():
    labels = [resource("a", 2, labels={"n": str(number)}) for number in range(9)]
    mesh = Shared([resource("a", 2)], {number: [item] for number, item in enumerate(labels)})
    with pytest.raises(ChangedError):
        put_back(mesh, {}, _written(resource("a", 2)))
    assert mesh.writes == 3


def test_a_mesh_that_does_not_hold_what_was_put_back_is_told():
    mesh = Shared([resource("a", 2)], {})
    mesh.give_back = lambda _put, _delete: None
    with pytest.raises(MeshError, match="not restored: VirtualService default/a"):
        put_back(mesh, {}, _written(resource("a", 2)))


def test_each_thing_that_somebody_did_is_told():
    mesh = Shared([], {})
    keys = [resource(name).key for name in ("a", "gone", "reverted", "made")]
    before = {keys[1]: resource("gone"), keys[2]: resource("reverted")}
    work = Undo(foreign=keys[:1], missing=keys[1:2], as_before=keys[2:])
    assert disturbed(mesh, work, before) == [
        "VirtualService default/a was changed by somebody else (argo at noon)",
        "VirtualService default/gone was deleted by somebody else",
        "VirtualService default/reverted was put back by somebody else",
        "VirtualService default/made was deleted by somebody else",
    ]
