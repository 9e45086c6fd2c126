from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from runner.errors import InputError
from runner.yamlfile.documents import Document, parse_documents
from runner.yamlfile.problems import field_names, suggest, validate


def one(text: str) -> Document:
    (document,) = parse_documents(text, "f.yaml")
    return document


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int
    kind: Literal["a", "b"] = "a"
    source: str = Field(default="gateway", alias="from")


class Other(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: str


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner
    many: list[Inner] = []
    either: Inner | Other | None = None


def test_what_pydantic_finds_gets_a_place_and_a_suggestion() -> None:
    text = "inner:\n  number: x\n  form: gate\nmany:\n  - kind: a\n    number: 1\n  - number: 2\n    kind: c\n"
    with pytest.raises(InputError) as caught:
        validate(Outer, one(text))
    said = [str(problem) for problem in caught.value.problems]
    assert said == [
        "f.yaml:2:11: inner.number: input should be a valid integer, unable to parse string as an integer",
        'f.yaml:3:3: unknown key "form"; expected one of number, kind, from. Did you mean "from"?',
        "f.yaml:8:11: many.1.kind: input should be 'a' or 'b'",
    ]


def test_a_missing_key_points_at_what_lacks_it() -> None:
    with pytest.raises(InputError, match=r'^f\.yaml:2:3: "number" is missing$'):
        validate(Outer, one("inner:\n  kind: a\n"))


def test_unions_point_at_the_users_own_key() -> None:
    with pytest.raises(InputError) as caught:
        validate(Outer, one("inner: {number: 1}\neither:\n  ulr: http://x\n"))
    said = [str(problem) for problem in caught.value.problems]
    assert 'f.yaml:3:3: unknown key "ulr"; expected one of url. Did you mean "url"?' in said
    assert not any("Inner" in line or "Other" in line for line in said)


def test_known_names_are_those_the_user_writes() -> None:
    assert field_names(Outer, ("inner",)) == ["number", "kind", "from"]
    assert field_names(Outer, ("many", 0)) == ["number", "kind", "from"]
    assert field_names(Outer, ("either", "Other")) == ["url"]
    assert suggest("aply", ["apply", "load"]) == 'Did you mean "apply"?'
    assert suggest("zzz", ["apply"]) is None
