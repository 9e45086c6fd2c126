"""Istiod's metrics text, as it writes it, and what lies between two readings."""

from __future__ import annotations

import pytest

from runner.probes.istiod_metrics import IstiodReading, between, parse

TEXT = """\
# HELP pilot_xds_pushes Pilot build and send errors for lds, rds, cds and eds.
# TYPE pilot_xds_pushes counter
pilot_xds_pushes{type="cds"} 126
pilot_xds_pushes{type="cds_senderr"} 2
pilot_xds_pushes{type="eds"} 1667
pilot_total_xds_rejects{type="type.googleapis.com/envoy.config.cluster.v3.Cluster"} 3
pilot_total_xds_rejects{type="type.googleapis.com/envoy.config.listener.v3.Listener"} 1
pilot_xds_cds_reject{err="x",node="a.b"} 1
pilot_total_xds_internal_errors 1
pilot_proxy_convergence_time_bucket{le="0.1"} 10
pilot_proxy_convergence_time_sum 38.86021605199995
pilot_proxy_convergence_time_count 1604
pilot_xds_expired_nonce{type="eds"} 96
go_goroutines 1.7e+02
pilot_services NaN
"""


def test_what_istiod_writes():
    found = parse(TEXT)
    assert found.pushes == {"cds": 126, "eds": 1667}
    assert (found.rejects, found.errors) == (4, 3)
    assert (found.converged, round(found.convergence, 3)) == (1604, 38.86)


def test_older_versions_count_rejects_by_type_alone():
    assert parse('pilot_xds_cds_reject{node="a"} 2\npilot_xds_rds_reject 1\n').rejects == 3


def test_what_is_not_counted_yet_is_zero():
    assert parse("# nothing\n") == IstiodReading()


def test_the_difference_of_two_readings():
    before = {"istiod-1": parse(TEXT)}
    later = TEXT.replace("} 126", "} 134").replace("3.v3", "").replace('Cluster"} 3', 'Cluster"} 4')
    later = later.replace("time_sum 38.86", "time_sum 39.06").replace("count 1604", "count 1612")
    found = between(before, {"istiod-1": parse(later)})
    assert found.pushes == {"cds": 8}
    assert (found.rejects, found.errors, found.converged) == (1, 0, 8)
    assert found.convergence_ms == pytest.approx(25.0)


def test_an_istiod_that_was_started_anew_counts_whole():
    before = {"istiod-1": parse(TEXT)}
    after = {
        "istiod-1": IstiodReading({"rds": 2}, 0, 0, 2, 0.5),
        "istiod-2": IstiodReading({"rds": 1}, 1, 0, 1, 0.1),
    }
    found = between(before, after)
    assert (found.pushes, found.rejects, found.converged) == ({"rds": 3}, 1, 3)
    assert found.convergence_ms == pytest.approx(200.0)
    assert between({}, {}).convergence_ms is None
