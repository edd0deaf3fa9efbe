# `make digests` pins the base images to what their tags name at that time.
ARG NODE_IMAGE=node:24-slim
ARG PYTHON_IMAGE=python:3.13-slim

# GraphiQL, bundled so that the page loads nothing from other hosts. It is the same on each platform.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS explorer
WORKDIR /src
COPY scripts scripts
COPY explorer explorer
RUN mkdir -p gateway/http && explorer/build.sh

# The program, in a virtual environment that is copied as a whole.
FROM ${PYTHON_IMAGE} AS program
# The extra to install: `otel` for tracing, or none.
ARG EXTRAS=
WORKDIR /src
RUN python -m venv /opt/gateway
COPY requirements requirements
COPY scripts scripts
# Before the sources, so that a change of them does not invalidate this layer.
RUN /opt/gateway/bin/pip install --no-cache-dir --require-hashes -r requirements/${EXTRAS:-runtime}.txt \
 && scripts/shrink /opt/gateway \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md schema.graphql ./
COPY gateway gateway
COPY --from=explorer /src/gateway/http/explorer gateway/http/explorer
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
 && /opt/gateway/bin/pip install --no-cache-dir --no-deps /tmp/wheel/*.whl \
 && /opt/gateway/bin/python -m compileall -q /opt/gateway/lib \
 && /opt/gateway/bin/pip uninstall --yes pip

# The final image: an interpreter and the program, without build tools or privileges.
FROM ${PYTHON_IMAGE}
ARG VERSION= REVISION= CREATED= SOURCE=
LABEL org.opencontainers.image.title="Audience Gateway" \
      org.opencontainers.image.description="A GraphQL gateway for AWS Clean Rooms ML" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$SOURCE"
RUN pip uninstall --yes --root-user-action=ignore pip
COPY --from=program /opt/gateway /opt/gateway
USER 65532:65532
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
ENTRYPOINT ["gateway"]
CMD ["serve", "--host", "::", "--port", "8000"]
