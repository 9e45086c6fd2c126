"""A Kubernetes cluster with Istio as a mesh: the same experiment files, over its API server."""
