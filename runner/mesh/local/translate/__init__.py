"""Istio resources to Envoy config, one module per Istio kind, with istiod's names and defaults."""

from __future__ import annotations

from runner.mesh.local.translate.bootstrap import bootstrap
from runner.mesh.local.translate.model import ProxyConfig, ProxyPaths, XdsResource
from runner.mesh.local.translate.proxy import translate
from runner.mesh.local.translate.support import check_supported

__all__ = ["ProxyConfig", "ProxyPaths", "XdsResource", "bootstrap", "check_supported", "translate"]
