"""A real Kubernetes with Istio on one Linux machine, for the tests of the cluster kind: no registry, no Docker engine, no internet."""
