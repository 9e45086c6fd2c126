"""Meshtrial: what a resilience setting or a fault does to a service in an Istio mesh, with evidence."""

__version__ = "0.1.0"
