"""Reading evidence off a mesh: proxy stats, Istio's metrics, access logs."""
