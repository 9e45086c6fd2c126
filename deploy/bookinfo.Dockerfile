# syntax=docker/dockerfile:1
# One workload of the Bookinfo twin, the same code that the embedded mesh runs: for clusters that can't pull Istio's samples, and
# for comparing a cluster with the embedded mesh.
#   docker build -f deploy/bookinfo.Dockerfile --build-arg SERVICE=reviews --build-arg VERSION=v2 -t bookinfo-reviews:v2 .
FROM python:3.13-slim
WORKDIR /app
COPY deploy/requirements-bookinfo.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-bookinfo.lock
COPY runner/__init__.py runner/errors.py runner/
COPY runner/mesh/__init__.py runner/mesh/
COPY runner/mesh/local/__init__.py runner/mesh/local/
COPY runner/mesh/local/apps runner/mesh/local/apps
ARG SERVICE
ARG VERSION=v1
ENV SERVICE=$SERVICE \
    SERVICE_VERSION=$VERSION \
    BIND_ADDRESS=0.0.0.0 \
    PORT=9080 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN python -c "import importlib; importlib.import_module('runner.mesh.local.apps.bookinfo.$SERVICE')"
USER 10001:10001
EXPOSE 9080
ENTRYPOINT ["sh", "-c", "exec python -m runner.mesh.local.apps.bookinfo.$SERVICE"]
