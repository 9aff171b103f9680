# Two stages: build tools stay in the first stage; the second has only the virtual environment, an unprivileged user and
# a health check.
FROM python:3.13-slim-trixie AS build
WORKDIR /src
RUN python -m venv /opt/poller
COPY requirements.lock requirements-build.lock ./
RUN /opt/poller/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY poller ./poller
COPY migrations ./migrations
RUN /opt/build/bin/python -m hatchling build -t wheel \
 && /opt/poller/bin/pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps dist/*.whl

FROM python:3.13-slim-trixie
RUN useradd --system --no-log-init --uid 10001 --home-dir /var/lib/poller --create-home poller
COPY --from=build /opt/poller /opt/poller
ENV PATH=/opt/poller/bin:$PATH PYTHONUNBUFFERED=1 POLLER_DATA_DIR=/var/lib/poller
# A numeric user id lets an orchestrator verify that it is not root.
USER 10001
WORKDIR /var/lib/poller
# Checks that the service is alive. /readyz also checks the database, but a restart would not repair that.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import os; from urllib.request import urlopen as get; port = os.environ.get('POLLER_WEB_PORT', '').strip(); get('http://127.0.0.1:%s/healthz' % (port if port.isdigit() else 8080), timeout=4)"]
ENTRYPOINT ["poller"]
CMD ["run"]
