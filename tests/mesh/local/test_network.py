"""Loopback networks are claimed once, and a taken port is named with its holder."""

import os
import re
import socket

import pytest

from runner.errors import MeshError
from runner.mesh.local.network import check_free, claim_network


def test_claims_never_overlap_and_end_with_their_guard():
    claims = [claim_network() for _ in range(20)]
    try:
        assert len({claim.prefix for claim in claims}) == 20
        assert all(re.fullmatch(r"127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+", claim.prefix) for claim in claims)
        first = claims[0]
        with socket.socket() as rival, pytest.raises(OSError, match="in use"):
            rival.bind(first.guard.getsockname())
    finally:
        for claim in claims:
            claim.guard.close()
    with socket.socket() as successor:
        successor.bind((first.prefix + ".1", 15999))


def test_a_taken_port_is_named_with_who_has_it():
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))  # noqa: S104 - this is what takes a port from everybody
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(MeshError) as caught:
            check_free([("127.66.66.66", port)])
    assert f"port {port} at 127.66.66.66 can't be used" in str(caught.value)
    assert f"process {os.getpid()}" in str(caught.value)
    check_free([("127.66.66.66", port)])
