"""A mesh's own certificate authority, and the certificate by which each proxy shows who it is.

Certificates are as istiod's: the SPIFFE identity as the only subject (a URI, with an empty distinguished name), for server and
client alike, on P-256 keys (an RSA key takes a hundred times as long to make, at every start of a mesh). The authority signs once,
for all pods, and its key is never written. Nothing is renewed: a mesh of this kind ends long before its certificates do.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner.mesh.local.topology import TRUST_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate import ProxyPaths

LIFETIME = timedelta(days=3650)
"""As long as istiod's own root certificate."""
BACKDATED = timedelta(minutes=2)
"""istiod's grace for clocks that differ."""


def write_certificates(pods: Sequence[Pod], paths_of: Callable[[Pod], ProxyPaths]) -> None:
    """Make an authority, and write each pod's certificate, key (mode 0600) and the authority's certificate.

    Args:
        pods: those with a proxy.
        paths_of: a pod's files; the folder is there.

    Raises:
        OSError: a file can't be written.
    """
    # `cryptography` takes a while to load, and most commands start no mesh.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    def key_usage(*, authority: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not authority,
            content_commitment=False,
            key_encipherment=not authority,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=authority,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )

    def builder(key: EllipticCurvePrivateKey, subject: x509.Name) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + LIFETIME)
        )

    root_name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, TRUST_DOMAIN)])
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = (
        builder(root_key, root_name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
        .sign(root_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    both_ways = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    for pod in pods:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            builder(key, x509.Name([]))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(authority=False), critical=True)
            .add_extension(both_ways, critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(pod.identity)]), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        paths = paths_of(pod)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write_secret(paths.private_key, private)
        paths.certificate_chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths.root_certificate.write_bytes(root)


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read, not even while it is being written."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
