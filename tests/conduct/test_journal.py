"""The journal: whatever prefix of it reached the disk, the mesh comes back to what it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.conduct.journal import Journal, MeshAddress, read_journal, undo, unfinished
from runner.errors import StorageError
from runner.istio.resource import Resource, ResourceKey
from runner.yamlfile.documents import Document

MESH = MeshAddress("local", "bookinfo-1")


def resource(name: str, content: int) -> Resource:
    key = ResourceKey("VirtualService", "default", name)
    body = {"kind": "VirtualService", "metadata": {"name": name}, "spec": {"content": content}}
    return Resource(key, body, Document("a.yaml", body, {}, {}))


def held(resources):
    return {item.key: item.canonical() for item in resources}


def change(state, put, delete):
    after = {key: item for key, item in state.items() if key not in delete}
    after.update({item.key: item for item in put})
    return after


states = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 3), max_size=5)
changes = st.lists(st.tuples(states, st.sets(st.sampled_from("abcde"), max_size=2)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(before=states, steps=changes, made=st.integers(0, 6), cut=st.floats(0, 1))
def test_any_death_is_undone(tmp_path_factory, before, steps, made, cut):
    """Changes are announced, then made; the run dies after any of them, and the file is torn anywhere in what was not made."""
    home = tmp_path_factory.mktemp("journal")
    snapshot = [resource(name, content) for name, content in before.items()]
    journal = Journal.begin(home, MESH, snapshot, home / "run")
    state = {item.key: item for item in snapshot}
    safe = journal.path.stat().st_size
    for index, (put, delete) in enumerate(steps):
        resources = [resource(name, content) for name, content in put.items()]
        keys = [ResourceKey("VirtualService", "default", name) for name in delete - set(put)]
        journal.intend(resources, keys)
        if index < made:
            state = change(state, resources, keys)
            safe = journal.path.stat().st_size
    journal.abandon()
    whole = journal.path.stat().st_size
    os.truncate(journal.path, safe + int((whole - safe) * cut))

    (record,) = unfinished(home)
    work = undo(record, list(state.values()))
    assert work.foreign == []
    assert held(change(state, work.put, work.delete).values()) == held(snapshot)


@settings(max_examples=60, deadline=None)
@given(before=states, put=states, theirs=states)
def test_what_somebody_changed_since_is_left_alone(tmp_path_factory, before, put, theirs):
    home = tmp_path_factory.mktemp("journal")
    snapshot = [resource(name, content) for name, content in before.items()]
    journal = Journal.begin(home, MESH, snapshot, home / "run")
    ours = [resource(name, content) for name, content in put.items()]
    journal.intend(ours, [])
    journal.abandon()
    state = change({item.key: item for item in snapshot}, ours, [])
    foreign = [resource(name, content + 100) for name, content in theirs.items()]
    state = change(state, foreign, [])
    work = undo(read_journal(journal.path), list(state.values()))
    touched = {item.key for item in work.put} | set(work.delete)
    assert touched.isdisjoint(item.key for item in foreign)
    assert set(work.foreign) == {item.key for item in foreign} & {item.key for item in ours}


def test_a_living_run_is_not_a_dead_one(tmp_path):
    journal = Journal.begin(tmp_path, MESH, [resource("a", 1)], tmp_path / "run")
    assert unfinished(tmp_path) == []
    journal.abandon()
    (record,) = unfinished(tmp_path)
    assert (record.mesh, record.pid, record.run) == (MESH, os.getpid(), str(tmp_path / "run"))


def test_a_restored_journal_goes(tmp_path):
    journal = Journal.begin(tmp_path, MESH, [], tmp_path / "run")
    journal.restored()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_without_a_whole_first_line_changed_nothing_and_goes(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"begin": {"kind": "loc')
    assert unfinished(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "line", ['{"begin": {}}', '{"begin": 3}', '{"begin": {"kind": "local", "snapshot": [{}]}}', "3"]
)
def test_a_journal_that_nobody_understands_is_kept_and_told(tmp_path, line):
    path = tmp_path / "strange.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(StorageError, match=r"strange\.jsonl can't be understood .*remove that file"):
        unfinished(tmp_path)
    assert path.exists()


def test_a_change_that_can_not_be_announced_is_an_error(tmp_path):
    journal = Journal.begin(tmp_path, MESH, [], tmp_path / "run")
    journal.abandon()
    full = Journal(journal.path, os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(StorageError, match=r"can't be written: No space left.*none is made"):
        full.intend([resource("a", 1)], [])
    full.abandon()


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"journal.*can't be written"):
        Journal.begin(tmp_path / "file" / "journal", MESH, [], tmp_path / "run")


def test_sigkill_between_two_changes_leaves_a_journal_that_names_both(tmp_path):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_journal import Journal, MESH, resource
journal = Journal.begin(Path({str(tmp_path)!r}), MESH, [resource("a", 1)], Path("run"))
journal.intend([resource("a", 2)], [])
journal.intend([resource("b", 1)], [])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    (record,) = unfinished(tmp_path)
    work = undo(record, [resource("a", 2), resource("b", 1), resource("mine", 1)])
    assert [item.canonical() for item in work.put] == [resource("a", 1).canonical()]
    assert work.delete == [ResourceKey("VirtualService", "default", "b")]
