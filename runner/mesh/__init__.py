"""Where config lands: the embedded local mesh, a cluster with Istio, or none."""
