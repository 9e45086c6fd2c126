"""The JSON Schema of an experiment file as users write it, for editors: texts with units, `{{ }}` for any value."""

from __future__ import annotations

import copy
import re
from typing import Any

from runner.spec.raw import ExperimentFile

_TEMPLATE = {
    "type": "string",
    "pattern": r"\{\{[\s\S]*\}\}",
    "description": "A value made from variables: {{ name }}, or {{ env.NAME }} for a declared environment variable.",
}
_CHECK = {
    "description": "METRIC[{request name}] OP VALUE|METRIC",
    "examples": [
        "p95 < 1.3s",
        "error_rate < 1%",
        "outcome[reviews unavailable] > 95%",
        "proxy[productpage-v1 upstream_rq_timeout] > 0",
    ],
}
_GUARDRAIL = {"description": "METRIC OP VALUE [for DURATION]", "examples": ["error_rate > 50% for 5s"]}
_PLAIN = {"integer", "number", "boolean", "array"}
_PART = "Override"
_NEVER_TOGETHER = (("arrivals", "users"), ("locust", "fortio"), ("fortio", "arrivals"), ("fortio", "users"))


def experiment_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the experiment file before expansion.

    Made from the pydantic models that read the file. A variant's `load` needs no key that the experiment's own load may
    give, every value may be a template, and a file with `capacity` needs no variants.
    """
    made = ExperimentFile.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Any] = made.pop("$defs")
    definitions = {**definitions, **_overrides_of("Load", definitions)}
    variant = definitions["VariantFile"]["properties"]
    variant["load"] = {"$ref": f"#/$defs/Load{_PART}", "description": variant["load"]["description"]}
    for name in ("Load", f"Load{_PART}"):
        definitions[name]["not"] = {"anyOf": [{"required": list(pair)} for pair in _NEVER_TOGETHER]}
    definitions["Arrivals"]["oneOf"] = [{"required": ["rate"]}, {"required": ["stages"]}]
    definitions["ClusterMesh"]["properties"]["cluster"] = {
        "anyOf": [{"$ref": "#/$defs/ClusterTarget"}, {"type": "null"}]
    }
    properties = made["properties"]
    properties["checks"]["additionalProperties"]["items"] |= _CHECK
    properties["stop_if"]["items"] |= _GUARDRAIL
    made.pop("required")
    made["required"] = ["load"]
    made["anyOf"] = [{"required": ["variants"]}, {"required": ["capacity"]}]
    schema = {key: value for key, value in made.items() if key != "properties"} | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Meshtrial experiment",
        "properties": {name: _with_templates(value) for name, value in properties.items()},
        "$defs": {name: _with_templates(value) for name, value in definitions.items()} | {"Template": _TEMPLATE},
    }
    return {key: _tidy(value) for key, value in schema.items()}


def _overrides_of(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A definition, and all that it is made of, with nothing required, under names of their own."""
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if f"{current}{_PART}" in found:
            continue
        part = copy.deepcopy(definitions[current])
        if current != "Stage":  # a list is replaced as a whole, so its items are whole too
            part.pop("required", None)
        found[f"{current}{_PART}"] = _renamed(part, waiting)
    return found


def _renamed(schema: Any, waiting: list[str]) -> Any:
    """The schema with its references led to the overrides; the names referred to are put on `waiting`."""
    if isinstance(schema, list):
        return [_renamed(part, waiting) for part in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {key: _renamed(value, waiting) for key, value in schema.items() if key != "default"}
    if "$ref" in renamed:
        name = renamed["$ref"].rpartition("/")[2]
        waiting.append(name)
        renamed["$ref"] = f"#/$defs/{name}{_PART}"
    return renamed


def _with_templates(schema: Any) -> Any:
    """The schema with a template allowed in place of every number, list, choice or text with a form of its own."""
    if isinstance(schema, list):
        return [_with_templates(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {
        key: value if key in {"default", "examples", "enum", "const"} else _with_templates(value)
        for key, value in schema.items()
    }
    formed = inner.get("type") == "string" and ({"pattern", "enum", "const"} & inner.keys())
    if not formed and inner.get("type") not in _PLAIN:
        return inner
    about = {key: inner.pop(key) for key in ("title", "description", "default", "examples") if key in inner}
    if formed and isinstance(about.get("default"), float):
        about["default"] = f"{about['default']:.9f}".rstrip("0").rstrip(".") + (
            "/s" if "/" in inner["pattern"] else "s"
        )
    return {**about, "anyOf": [inner, {"$ref": "#/$defs/Template"}]}


def _tidy(schema: Any) -> Any:
    """The schema without titles that repeat a key, and without defaults that say nothing."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: _tidy(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }
    if isinstance(tidy.get("description"), str):
        tidy["description"] = re.sub(r"\s+", " ", tidy["description"]).strip()
    return tidy
