"""Texts of PeerAuthentications, for tests of every room that reads or applies them."""

from __future__ import annotations


def peer_authentication(spec: str, name: str = "default", namespace: str = "default") -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""
