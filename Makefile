# Setup needs only python3 (3.11 or later) and make.
PYTHON ?= python3
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' gateway/__init__.py)
IMAGE  ?= audience-gateway
BUILD  ?= --load
PIP     = .venv/bin/python -m pip --disable-pip-version-check --quiet
COMPILE = .venv/bin/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
          --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

NPM_TESTS = $(patsubst %,tests/%/node_modules/.package-lock.json,audits clients federation deploy)

NPM_EXAMPLES = examples/node_modules/.package-lock.json
EXAMPLES = $(patsubst %,examples/%/dist/index.html,relay apollo)
# What the builds are made of: the tree without what they make.
EXAMPLE_SOURCES = schema.graphql $(shell find examples \( -name node_modules -o -name dist -o -name __generated__ \) -prune \
                  -o -type f ! -name persisted-documents.json -print)

NPM_PEERS = benchmarks/peers/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help install dev check audit test explorer example-relay example-apollo schema docs screenshot bench lock release test-install image digests clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/runtime.stamp explorer  ## install the program as .venv/bin/gateway

dev: install  ## start the sandbox and the gateway, and print the URL
	@.venv/bin/gateway dev

# PORT=5173 chooses the page's port.
example-relay: install $(NPM_EXAMPLES)  ## show the Relay example over the sandbox
	@.venv/bin/python -m scripts.example relay $(PORT)

example-apollo: install $(NPM_EXAMPLES)  ## show the Apollo example over the sandbox
	@.venv/bin/python -m scripts.example apollo $(PORT)

check: .venv/dev.stamp audit $(EXAMPLES)  ## lint, types and known vulnerabilities
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# AUDIT=required fails if an audit cannot be made: for CI that reaches the advisories.
audit: .venv/dev.stamp  ## look up known vulnerabilities of locked versions
	@.venv/bin/python scripts/audit.py $(AUDIT)

# Tests of a module stay in one worker, for which its programs are started once, until one is idle.
test: .venv/dev.stamp explorer $(NPM_TESTS) $(EXAMPLES)  ## run the test suite
	@.venv/bin/python scripts/programs.py tests
	.venv/bin/pytest -n 2 --dist worksteal

schema: .venv/runtime.stamp  ## regenerate schema.graphql
	.venv/bin/gateway schema > schema.graphql

docs: .venv/runtime.stamp  ## regenerate tables and schemas from the code
	.venv/bin/python -m scripts.generate_docs

screenshot: .venv/dev.stamp explorer  ## retake docs/graphiql.png
	.venv/bin/python -m scripts.screenshot

# ONLY=hot measures one benchmark or group; WRITE=1 puts the tables into the documents.
bench: .venv/dev.stamp $(NPM_PEERS)  ## measure what benchmarks/README.md claims
	@.venv/bin/python scripts/programs.py benchmarks
	.venv/bin/python benchmarks/run.py $(if $(ONLY),--only $(ONLY)) $(if $(WRITE),--write)

lock: .venv/dev.stamp  ## resolve the lock files again
	$(PIP) install uv
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra otel -c requirements/runtime.txt -o requirements/otel.txt
	$(COMPILE) pyproject.toml --extra dev -c requirements/otel.txt -o requirements/dev.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) requirements/node.in -o requirements/node.txt

release: .venv/dev.stamp explorer  ## make dist/: packages, bills of materials, checksums
	@.venv/bin/python -m scripts.release

test-install: .venv/dev.stamp  ## install the packages in new environments, and use them
	@.venv/bin/python scripts/programs.py tests
	.venv/bin/pytest -n 2 tests/install

# IMAGE=registry.example.com/audience-gateway names it; EXTRAS=otel adds tracing;
# PLATFORMS=linux/amd64,linux/arm64 BUILD=--push builds for several architectures, and pushes.
image:  ## build the container image
	docker buildx build $(BUILD) $(if $(PLATFORMS),--platform $(PLATFORMS)) --tag $(IMAGE):$(VERSION) --build-arg EXTRAS=$(EXTRAS) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) \
	  --build-arg CREATED=$(shell date -u +%Y-%m-%dT%H:%M:%SZ) --build-arg SOURCE=$(SOURCE) .

digests:  ## pin the base images of the Dockerfile to their current digests
	@$(PYTHON) scripts/pin_images.py

clean:  ## remove everything installed or built
	rm -rf .venv dist gateway/http/explorer explorer/node_modules examples/node_modules examples/*/dist tests/*/node_modules benchmarks/peers/node_modules

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; select one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "This Python cannot create virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/runtime.stamp: requirements/runtime.txt pyproject.toml | .venv/bin/python
	@echo "Installing the program and its explorer (about 40 s the first time) ..."
	@$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/runtime.stamp
	@echo "Installing the test dependencies (about 20 s the first time) ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# After the installation, whose build hook builds it too: never twice at once.
explorer: | .venv/runtime.stamp
	@explorer/build.sh

# Checks the types first.
examples/%/dist/index.html: $(NPM_EXAMPLES) $(EXAMPLE_SOURCES)
	@echo "Building examples/$* ..."
	@scripts/with-node npm run --silent build --prefix examples/$*

%/node_modules/.package-lock.json: %/package-lock.json | .venv/bin/python
	@scripts/with-node npm ci --prefix $* --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $@
