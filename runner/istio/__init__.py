"""Istio and Kubernetes resources as typed data, and the traps that users are known to fall into."""
