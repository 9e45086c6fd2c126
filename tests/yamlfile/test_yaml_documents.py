from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InputError, Position
from runner.yamlfile.documents import Document, parse_documents, read_documents

if TYPE_CHECKING:
    from pathlib import Path


def one(text: str) -> Document:
    (document,) = parse_documents(text, "f.yaml")
    return document


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_documents(text, "f.yaml")
    return str(caught.value)


def test_only_true_and_false_are_booleans() -> None:
    data = one("{a: on, b: off, c: yes, d: n, e: true, f: FALSE, on: 1, y: 2}").data
    assert data == {"a": "on", "b": "off", "c": "yes", "d": "n", "e": True, "f": False, "on": 1, "y": 2}


def test_dates_and_base_sixty_stay_text() -> None:
    assert one("[2026-01-02, 1:30, 12:30:45, 1.5, 1e3, 0x1f, 0o17, -4, 1_000, .5, =, 08]").data == [
        *("2026-01-02", "1:30", "12:30:45", 1.5, 1000.0, 31, 15, -4, 1000, 0.5, "=", "08"),
    ]


def test_every_value_and_key_has_its_place() -> None:
    document = one("a:\n  - b: 1\n    ccc: [x, y]\n")
    assert document.position(("a", 0, "ccc", 1)) == Position("f.yaml", 3, 14)
    assert document.position(("a", 0, "ccc"), key=True) == Position("f.yaml", 3, 5)
    assert document.position(("a", 0, "gone", "deeper")) == Position("f.yaml", 2, 5)
    assert document.position(("a", 0, "gone"), key=True) == Position("f.yaml", 2, 5)


def test_a_part_of_a_document_keeps_its_places() -> None:
    part = one("a:\n  - b: 1\n    c: 2\n").under("a", 0)
    assert part.data == {"b": 1, "c": 2}
    assert part.position(("c",)) == Position("f.yaml", 3, 8)
    assert part.position(("c",), key=True) == Position("f.yaml", 3, 5)


def test_several_documents_and_empty_ones() -> None:
    documents = parse_documents("a: 1\n---\n---\n# nothing\n---\nb: 2\n", "f.yaml")
    assert [document.data for document in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].position(("b",)) == Position("f.yaml", 6, 4)
    assert parse_documents("", "f.yaml") == []


def test_a_key_twice_is_an_error_that_names_both() -> None:
    assert refused("a: 1\nb: 2\na: 3\n") == 'f.yaml:3:1: the key "a" stands here twice. The first is at line 1'


def test_merge_keys_can_be_overridden_but_not_doubled() -> None:
    text = "base: &b {x: 1, y: 1}\nmore: &m {y: 2, z: 2}\none: &o {<<: *b, y: 5}\ntwo: {<<: [*b, *m]}\nagain: *o\n"
    data = one(text).data
    assert data["one"] == data["again"] == {"x": 1, "y": 5}
    assert data["two"] == {"x": 1, "y": 1, "z": 2}
    assert "stands here twice" in refused("base: &b {x: 1}\none: {<<: *b, x: 2, x: 3}\n")
    assert "no mapping" in refused("a: {<<: 3}")
    assert "contains itself" in refused("a: &a {<<: *a}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: [1, 2",
            "did not find expected ',' or ']'. It happened while parsing a flow sequence that begins at line 1",
        ),
        ("a: b: c", "quote a value that contains ': '"),
        ("a:\n\t- b", "YAML indents with spaces, never tabs"),
        ("a: *nowhere", "undefined alias"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: !!int foo", "f.yaml:1:4: 'foo' is no int"),
        ("a: !!bool foo", "f.yaml:1:4: 'foo' is no bool"),
        ("? [1, 2]\n: 3", "a key that is not a plain word"),
        ("a: \x00", "broken YAML"),
        ("a: &a [*a]", "an alias that contains itself"),
        ("[" * 3000 + "]" * 3000, "nested too deep"),
        (
            "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))]),
            "too large",
        ),
    ],
)
def test_broken_yaml_says_where_and_why(text: str, said: str) -> None:
    assert said in refused(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "ratings-delay.yaml").write_text("a: 1")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    for path, said in [
        (tmp_path / "rating-delay.yaml", "ratings-delay.yaml"),
        (tmp_path / "nothing-like-it", "no such file"),
        (tmp_path, "is a folder; expected a YAML file"),
        (tmp_path / "latin.yaml", "not UTF-8 text"),
        (tmp_path / "latin.yaml" / "x", "Not a directory"),
    ]:
        with pytest.raises(InputError, match=said):
            read_documents(path)
    (document,) = read_documents(tmp_path / "ratings-delay.yaml", shown="istio/ratings-delay.yaml")
    assert document.file == "istio/ratings-delay.yaml"


plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(st.characters(codec="ascii"), max_size=8),
    lambda child: (
        st.lists(child, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), child, max_size=3)
    ),
    max_leaves=12,
)


@given(plain)
def test_json_is_read_as_itself(value: Any) -> None:
    documents = parse_documents(json.dumps(value), "f.yaml")
    assert [document.data for document in documents] == ([] if value is None else [value])


@given(plain)
def test_every_value_of_a_document_has_a_place(value: Any) -> None:
    def ways(data: Any, way: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
        children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
        return [way, *(deeper for step, child in children for deeper in ways(child, (*way, step)))]

    for document in parse_documents(json.dumps(value), "f.yaml"):
        assert set(document.values) == set(ways(value, ()))


@given(st.text(max_size=60) | st.text("abc:-[]{}&*!<>'\"|?%@#, \n\t0x_.", max_size=60))
def test_no_text_raises_anything_but_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        for document in parse_documents(text, "f.yaml"):
            assert document.position(()).file == "f.yaml"
