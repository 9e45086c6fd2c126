from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.results.document.run import Verdict
from runner.results.redact import Redactor

secrets = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=12).filter(
    lambda text: len(text.strip()) > 3
)


@given(secrets, st.text(max_size=8), st.text(max_size=8))
def test_a_secret_stays_in_no_text(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    assert secret not in redactor.text(before + secret + after)
    assert secret.encode() not in redactor.content((before + secret + after).encode("utf-8", "ignore"))


@given(secrets)
def test_a_secret_is_found_as_other_formats_write_it(secret: str) -> None:
    redactor = Redactor([secret])
    for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote_plus(secret)):
        assert "***" in redactor.text(written)


@given(st.text(max_size=30))
def test_without_secrets_nothing_changes(text: str) -> None:
    for redactor in (Redactor(), Redactor(["", "  "])):
        assert redactor.text(text) == text
        assert redactor.content(text.encode("utf-8", "ignore")) == text.encode("utf-8", "ignore")
        assert redactor.data({"a": [text]}) == {"a": [text]}


def test_a_short_value_is_hidden_as_a_whole_word_only() -> None:
    redactor = Redactor(["ab"])
    assert redactor.text("ab cab ab, a/ab?x=ab") == "*** cab ***, a/***?x=***"
    assert redactor.content(b"ab cab") == b"*** cab"


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Redactor(["token", "token-two"]).text("token-two token") == "*** ***"


def test_data_is_searched_to_the_bottom_and_numbers_are_left() -> None:
    data = {"headers": {"X-tok-1234": ["a tok-1234", 5, None, True]}, "verdict": Verdict.PASS, "200": 1}
    assert Redactor(["tok-1234", "pass", "200", "headers"]).data(data) == {
        "***": {"X-***": ["a ***", 5, None, True]},
        "verdict": "pass",
        "200": 1,
    }


@pytest.mark.parametrize("style", [None, "'", '"'])
def test_a_secret_in_yaml_is_hidden_whatever_its_quotes(style: str | None) -> None:
    secret = 'it\'s "quoted": 100%'  # noqa: S105 - the test looks for it
    written = yaml.safe_dump({"token": secret}, default_style=style)
    hidden = Redactor([secret]).text(written)
    assert "100%" not in hidden
    assert "***" in hidden
