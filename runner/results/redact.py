"""Keeping secrets out of the run folder: whoever gets a report must not get the token that the load was sent with.

The values to hide are replaced by `***` wherever they stand in a string, also as JSON, YAML, base64 or a URL would
write them. The words and field names of the documents themselves are left alone: a value of `pass` must not make the
verdict unreadable.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import pkgutil
import re
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from runner.results import document
from runner.results.histogram import Histogram
from runner.results.trial import TrialFile
from runner.results.window import Cell, Pace, Second, Window

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
_SHORT = 3


class Redactor:
    """Replaces a set of secret values in text, bytes and plain data; without secrets it changes nothing.

    Args:
        secrets: the values; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets if secret.strip() for spelling in _spellings(secret)}
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        pattern = "|".join(_pattern(spelling) for spelling in longest_first)
        self._text = re.compile(pattern) if pattern else None
        self._bytes = re.compile(pattern.encode()) if pattern else None

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        return self._text.sub(HIDDEN, text) if self._text else text

    def content(self, content: bytes) -> bytes:
        """A file's content without the secrets; byte for byte the same when it holds none."""
        return self._bytes.sub(HIDDEN.encode(), content) if self._bytes else content

    def data(self, data: Any) -> Any:
        """Plain data (dicts, lists, strings, numbers) without the secrets, keys included."""
        return self._walk(data) if self._text else data

    def _walk(self, data: Any) -> Any:
        if isinstance(data, str):
            return data if isinstance(data, Enum) or data in _OWN_WORDS else self.text(data)
        if isinstance(data, dict):
            return {self._key(key): self._walk(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self._walk(value) for value in data]
        return data

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) and key not in _OWN_WORDS and not key.isdigit() else key


def _pattern(spelling: str) -> str:
    """A value of three characters or fewer is hidden as a whole word only: every `a` in a report is not one."""
    escaped = re.escape(spelling)
    return rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])" if len(spelling) <= _SHORT else escaped


def _spellings(secret: str) -> set[str]:
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        secret.replace("'", "''"),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        base64.b64encode(secret.encode()).decode(),
    }


def _words_of(annotation: Any) -> set[str]:
    if get_origin(annotation) is Literal:
        return {value for value in get_args(annotation) if isinstance(value, str)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {str(member.value) for member in annotation}
    return {word for part in get_args(annotation) for word in _words_of(part)}


def _own_words() -> frozenset[str]:
    """Field names and fixed words of the run document, from every module that it is made of."""
    words: set[str] = set()
    for module in pkgutil.iter_modules(document.__path__, f"{document.__name__}."):
        for model in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(model) and issubclass(model, BaseModel):
                for name, info in model.model_fields.items():
                    words |= {name, info.alias or name, *_words_of(info.annotation)}
    return frozenset(words)


_TRIAL_WORDS = {field.name for record in (TrialFile, Window, Second, Cell, Pace) for field in fields(record)}
_OWN_WORDS = _own_words() | _TRIAL_WORDS | set(Histogram().to_json()) | {"time", "event"}
