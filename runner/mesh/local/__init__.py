"""The embedded mesh: real Envoy processes and small apps on loopback addresses of their own."""
