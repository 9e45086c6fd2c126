from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.raw import ExperimentFile
from runner.spec.schema import experiment_schema
from runner.units import parse_duration, parse_rate
from runner.yamlfile.documents import parse_documents, read_documents

SCHEMA = experiment_schema()
EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
}
KEYWORDS = {
    *("type", "properties", "additionalProperties", "required", "items", "anyOf", "oneOf", "not", "enum", "pattern"),
    *("minimum", "minItems", "minLength", "minProperties", "format"),
    *("$ref", "$defs", "$schema", "title", "description", "default", "examples"),
}


def is_type(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in {"integer", "number"})


def accepts(schema: Any, value: Any) -> bool:
    """A JSON Schema validator of the keywords that this schema uses."""
    if isinstance(schema, bool):
        return schema
    assert schema.keys() <= KEYWORDS
    if "$ref" in schema and not accepts(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value):
        return False
    simple = [
        "type" not in schema or is_type(value, schema["type"]),
        "enum" not in schema or value in schema["enum"],
        "anyOf" not in schema or any(accepts(part, value) for part in schema["anyOf"]),
        "oneOf" not in schema or sum(accepts(part, value) for part in schema["oneOf"]) == 1,
        "not" not in schema or not accepts(schema["not"], value),
    ]
    return all(simple) and inside(schema, value)


def inside(schema: Any, value: Any) -> bool:
    if isinstance(value, dict):
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        return (
            all(name in value for name in schema.get("required", ()))
            and len(value) >= schema.get("minProperties", 0)
            and all(accepts(known.get(name, rest), part) for name, part in value.items())
        )
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            accepts(schema.get("items", True), part) for part in value
        )
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and re.search(schema.get("pattern", ""), value) is not None
    return not isinstance(value, int | float) or value >= schema.get("minimum", value)


def read(text: str) -> Any:
    (document,) = parse_documents(text, "f.yaml")
    return document.data


LOAD = "load: {locust: {file: f.py}}\n"


@pytest.mark.parametrize("path", EXPERIMENTS or [None], ids=lambda path: path.stem if path else "none")
def test_it_accepts_the_shipped_experiments(path) -> None:
    if path is None:
        pytest.skip("no experiments are shipped yet")
    for document in read_documents(path):
        assert accepts(SCHEMA, document.data)


@pytest.mark.parametrize(
    "text",
    [
        LOAD + "variants: {a: {apply: [x.yaml, {kind: Gateway}]}, b: }\n",
        LOAD
        + "variants: {a: {load: {users: 3}}, b: {load: {locust: {tags: [x]}, arrivals: {distribution: poisson}}}}\n",
        LOAD + "variants: {'v-{{ d }}': {vars: {x: 1}}}\nmatrix: {d: [0.5s, 2, true]}\nvars: {n: 3}\nenv: [TOKEN]\n",
        LOAD + "variants: {a: }\nblocks: '{{ n }}'\nmesh: {cluster: }\n",
        LOAD + "variants: {a: }\nmesh: {none: {url: 'https://example.org'}}\nstop_if: ['errors > 3']\n",
        LOAD + "capacity: {objective: p99 < 1s, from: 20/s, to: '{{ top }}'}\n",
        "load: {locust: {file: f.py}, arrivals: {stages: [{rate: 20/s, duration: 1m30s}]}}\nvariants: {a: }\n",
        "load: {fortio: {}}\nvariants: {a: }\n",
        "load: {fortio: {connections: 2, qps: 0, requests: '{{ n }}', resolution: 50us, grpc: ping}}\nvariants: {a: }\n",
        "load: {fortio: {qps: 600/m}}\nvariants: {a: {load: {fortio: {connections: 3}}}}\n",
        "load: {locust: {file: f.py}, users: '{{ n }}', warmup: '{{ w }}', headers: {A: '{{ t }}'}}\nvariants: {a: }\n",
    ],
)
def test_it_accepts(text) -> None:
    assert accepts(SCHEMA, read(text))


@pytest.mark.parametrize(
    "text",
    [
        "variants: {a: }\n",
        LOAD,
        LOAD + "variants: {}\n",
        LOAD + "variants: {a: }\ntypo: 1\n",
        LOAD + "variants: {a: {aply: []}}\n",
        LOAD + "variants: {a: {apply: [3]}}\n",
        LOAD + "variants: {a: }\nblocks: 0\n",
        LOAD + "variants: {a: }\nblocks: six\n",
        LOAD + "variants: {a: }\nmesh: {kluster: {}}\n",
        LOAD + "variants: {a: }\nmatrix: {d: []}\n",
        LOAD + "variants: {a: }\nchecks: {a: p50 < 1s}\n",
        "load: {locust: {}}\nvariants: {a: }\n",
        "load: {locust: {file: f.py}, duration: 20}\nvariants: {a: }\n",
        "load: {locust: {file: f.py}, duration: 20 apples}\nvariants: {a: }\n",
        "load: {locust: {file: f.py}, arrivals: {rate: 20}}\nvariants: {a: }\n",
        "load: {locust: {file: f.py}, arrivals: {}}\nvariants: {a: }\n",
        "load: {locust: {file: f.py}, arrivals: {rate: 20/s, stages: []}}\nvariants: {a: }\n",
        "load: {locust: {file: f.py}, arrivals: {rate: 20/s}, users: 3}\nvariants: {a: }\n",
        "load: {locust: {file: f.py}, arrivals: {rate: 20/s, distribution: even}}\nvariants: {a: }\n",
        "load: {fortio: {anything: 1}}\nvariants: {a: }\n",
        "load: {fortio: {qps: -1}}\nvariants: {a: }\n",
        "load: {fortio: {grpc: echo}}\nvariants: {a: }\n",
        "load: {fortio: {}, arrivals: {rate: 20/s}}\nvariants: {a: }\n",
        "load: {fortio: {}, users: 3}\nvariants: {a: }\n",
    ],
)
def test_it_refuses(text) -> None:
    assert not accepts(SCHEMA, read(text))


def test_every_key_is_there_and_described() -> None:
    assert set(SCHEMA["properties"]) == {info.alias or name for name, info in ExperimentFile.model_fields.items()}
    described = SCHEMA["properties"]
    for name, part in described.items():
        target = SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")] if "$ref" in part else part
        assert part.get("description") or target["description"], name


def test_defaults_are_as_a_user_would_write_them() -> None:
    load = SCHEMA["$defs"]["Load"]["properties"]
    assert load["duration"]["default"] == "30s"
    assert load["warmup"]["default"] == "5s"
    assert SCHEMA["$defs"]["Capacity"]["properties"]["to"]["default"] == "2000/s"
    assert SCHEMA["$defs"]["FortioLoad"]["properties"]["resolution"]["default"] == "0.00005s"
    assert not any("default" in part for part in SCHEMA["$defs"]["LoadOverride"]["properties"].values())


def reads(parse, text) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


@given(st.from_regex(r"[0-9]{0,2}\.?[0-9]{0,2} ?(s|ms|m|h|us|µs|d|/s|/m|%|)", fullmatch=True))
def test_patterns_say_what_the_units_say(text) -> None:
    stage = SCHEMA["$defs"]["Stage"]["properties"]
    assert accepts(stage["duration"], text) == reads(parse_duration, text)
    assert accepts(stage["rate"], text) == reads(parse_rate, text)
