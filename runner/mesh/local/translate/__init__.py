"""Istio resources to Envoy config, one module per Istio kind, with istiod's names and defaults."""
