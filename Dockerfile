# Two stages: what builds stays behind, what runs is a folder, a user without rights and a health check.
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
# By number: an orchestrator can then see that it is not root.
USER 10001
WORKDIR /var/lib/poller
# The database is there and of this poller's version. An embedded one is not woken for it.
HEALTHCHECK --interval=60s --timeout=10s --start-period=20s \
  CMD ["/bin/sh", "-c", "test -z \"$POLLER_DATABASE_URL\" || exec poller migrate --check"]
ENTRYPOINT ["poller"]
CMD ["--help"]
