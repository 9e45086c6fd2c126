"""`load.locust.workers`: a number, or `external` with what only that needs."""

from __future__ import annotations

import pytest

from runner.errors import InputError


def locust_of(project, keys, variants="variants: {a: }\n"):
    project.put("loadfiles/page.py", "")
    found = project.load(f"load: {{locust: {{file: ../loadfiles/page.py, {keys}}}}}\n{variants}", head="")
    return [variant.load.locust for variant in found.experiment.variants.values()]


def test_local_and_external_workers_are_read_with_locusts_own_defaults(project):
    (two,) = locust_of(project, "workers: 2")
    assert (two.workers, two.processes) == (2, 1)
    (far,) = locust_of(project, "workers: external")
    assert (far.workers, far.expect, far.master.bind, far.master.port, far.master.wait) == (
        *("external", 1),
        *("127.0.0.1", 5557, 120.0),
    )
    (far,) = locust_of(project, "workers: external, expect: 4, master: {bind: 10.0.0.7, port: 6000, wait: 10m}")
    assert (far.expect, far.master.bind, far.master.port, far.master.wait) == (4, "10.0.0.7", 6000, 600.0)
    assert far.alone().workers is None


def test_a_variant_may_share_its_load_in_another_way(project):
    found = locust_of(project, "processes: 2", "variants: {a: , b: {load: {locust: {workers: 3}}}}\n")
    assert [(one.processes, one.workers) for one in found] == [(2, None), (1, 3)]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("workers: many", "'many' is neither a whole number nor external"),
        ("workers: 0", "0 is less than 1"),
        ("workers: true", "true is not a whole number"),
        ("workers: 2, processes: 2", "takes one of processes and workers"),
        ("workers: 2, expect: 2", "expect: only with workers: external"),
        ("master: {port: 1}", "master: only with workers: external"),
        ("workers: external, master: {port: 70000}", "70000 is no port"),
        ("workers: external, master: {wait: 5}", "needs a unit"),
    ],
)
def test_what_makes_no_sense_is_told(project, keys, told):
    with pytest.raises(InputError) as caught:
        locust_of(project, keys)
    assert told in str(caught.value)
