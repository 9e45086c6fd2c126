"""A mesh's certificates: each says who its pod is, and chains to one authority."""

from __future__ import annotations

import stat
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runner.mesh.local.appfile import find_app, load_app
from runner.mesh.local.certificates import write_certificates
from runner.mesh.local.translate import ProxyPaths


@pytest.fixture
def pods(tmp_path):
    """Bookinfo's pods with proxies, certificates written; each with its files."""
    found = load_app(find_app("bookinfo")).topology("127.64.0").proxied
    for pod in found:
        (tmp_path / pod.name).mkdir()
    write_certificates(found, lambda pod: ProxyPaths(tmp_path / pod.name))
    return [(pod, ProxyPaths(tmp_path / pod.name)) for pod in found]


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_each_names_its_service_account(pods):
    said = {}
    for pod, paths in pods:
        own = certificate(paths.certificate_chain)
        assert list(own.subject) == []
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.critical
        said[pod.name] = names.value.get_values_for_type(x509.UniformResourceIdentifier)
        assert own.not_valid_before_utc <= datetime.now(UTC) <= own.not_valid_after_utc
    assert said["productpage-v1"] == ["spiffe://cluster.local/ns/default/sa/bookinfo-productpage"]
    assert said["reviews-v1"] == said["reviews-v3"] == ["spiffe://cluster.local/ns/default/sa/bookinfo-reviews"]
    gateway = "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"
    assert said["istio-ingressgateway"] == [gateway]


def test_all_are_signed_by_one_authority_and_have_keys_of_their_own(pods):
    roots = {paths.root_certificate.read_bytes() for _, paths in pods}
    assert len(roots) == 1
    keys = set()
    for _, paths in pods:
        own = certificate(paths.certificate_chain)
        own.verify_directly_issued_by(certificate(paths.root_certificate))
        key = load_pem_private_key(paths.private_key.read_bytes(), None)
        assert key.public_key() == own.public_key()
        keys.add(paths.private_key.read_bytes())
    assert len(keys) == len(pods)


def test_nobody_else_reads_a_key(pods):
    for _, paths in pods:
        assert stat.S_IMODE(paths.private_key.stat().st_mode) == 0o600
