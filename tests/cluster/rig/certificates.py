"""The rig's own certificate authority, and who may do what by it (Kubernetes takes names and groups from certificates)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.rig.processes import call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DAYS = "30"
_LIFE = ("-days", _DAYS)
_NEW = ("openssl", "req", "-new")


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder: `ca.crt`, `ca.key` and what it signed."""

    folder: Path

    def create(self) -> None:
        """Make the authority and the pair that signs service account tokens."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key("ca")
        call([*_NEW, "-x509", "-key", self._path("ca.key"), *_LIFE, "-subj", "/CN=rig", "-out", self._path("ca.crt")])
        self._key("sa")
        call(["openssl", "pkey", "-in", self._path("sa.key"), "-pubout", "-out", self._path("sa.pub")])

    def sign(self, name: str, subject: str, addresses: Sequence[str] = (), days: str = _DAYS) -> None:
        """Make `<name>.key` and `<name>.crt`.

        Args:
            name: of the files.
            subject: `/O=system:masters/CN=admin`.
            addresses: what a server answers to, `IP:127.0.0.1` or `DNS:kubernetes`.
            days: how long the certificate is good.
        """
        self._key(name)
        request, extensions = self._path(f"{name}.csr"), self.folder / f"{name}.ext"
        call([*_NEW, "-key", self._path(f"{name}.key"), "-subj", subject, "-out", request])
        lines = ["extendedKeyUsage=clientAuth,serverAuth", "keyUsage=digitalSignature,keyEncipherment"]
        lines += [f"subjectAltName={','.join(addresses)}"] if addresses else []
        extensions.write_text("\n".join(lines) + "\n", encoding="ascii")
        signer = ["-CA", self._path("ca.crt"), "-CAkey", self._path("ca.key"), "-CAcreateserial"]
        terms = ["-days", days, "-extfile", str(extensions)]
        call(["openssl", "x509", "-req", "-in", request, *signer, *terms, "-out", self._path(f"{name}.crt")])

    def kubeconfig(self, name: str, server: str, path: Path, namespace: str = "default") -> None:
        """Write a kubeconfig for the holder of a certificate."""
        ca, certificate, key = (
            base64.b64encode((self.folder / file).read_bytes()).decode()
            for file in ("ca.crt", f"{name}.crt", f"{name}.key")
        )
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "rig", "cluster": {"server": server, "certificate-authority-data": ca}}],
            "users": [{"name": name, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
            "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": name, "namespace": namespace}}],
            "current-context": "rig",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=1), encoding="ascii")

    def _key(self, name: str) -> None:
        call(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self._path(f"{name}.key")])

    def _path(self, name: str) -> str:
        return str(self.folder / name)
