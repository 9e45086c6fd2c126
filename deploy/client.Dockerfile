# syntax=docker/dockerfile:1
# The client pod, from which load leaves through a sidecar: fortio and curl.
#   docker build -f deploy/client.Dockerfile -t meshtrial-client .
FROM golang:1.25 AS build
RUN CGO_ENABLED=0 GOBIN=/out go install fortio.org/fortio@v1.68.0

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/fortio /usr/local/bin/fortio
USER 10001:10001
ENTRYPOINT ["sleep", "infinity"]
