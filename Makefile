# All targets run in .venv, which is created from hashed locks on first use. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(BIN)/python
MODEL  := build/models/lee
LOCK   := requirements/dev.lock

# The program that builds images; the artifact for the model's image, and that image's name and tag.
BUILDER     ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo tests/deploy/lab/builder)
ARTIFACT    ?= $(MODEL)
MODEL_IMAGE ?= doc2vec-model
MODEL_TAG   ?= 1.0.0

# Of images: their platforms (PLATFORM=linux/amd64,linux/arm64), the address of this repository, and further flags.
PLATFORM    =
SOURCE_URL  =
BUILD_FLAGS =

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo serve http faq faq-index faq-image model model-it test coverage slow-test sanitize lint docs format dist release check-tag images server-image model-image sbom reproducible manifests deploy-test languages-test mteb-test proto parity quality bench soak chaos stops fuzz lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Create .venv for the other targets

$(VENV)/.ready: $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "paravec needs Python 3.11 or later as $(PYTHON); name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV)"
	@$(RUN) -m pip install -qq --disable-pip-version-check --require-hashes --only-binary :all: -r $(LOCK)
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

model: $(MODEL)/manifest.json ## Train the demonstration model (gensim's Lee news corpus)

# Trained again when the artifact's format may have changed.
$(MODEL)/manifest.json: model/paravec_model/artifact/manifest.py | $(VENV)/.ready
	@rm -rf $(MODEL)
	@$(RUN) -m paravec_model.cli train --corpus lee --output $(MODEL) --model-version 1.0.0 \
	  --dm 0 --vector-size 100 --doctags

MODEL_IT := build/models/doc2vec-model-it

model-it: $(MODEL_IT)/manifest.json ## Train the Italian model on LibreOffice's help in a container

$(MODEL_IT)/manifest.json:
	@rm -rf $(MODEL_IT) && mkdir -p $(MODEL_IT)
	@$(BUILDER) build -f model/image/train.Dockerfile --output type=local,dest=$(MODEL_IT) .

demo: $(MODEL)/manifest.json ## Train a model, serve it and embed a text
	@$(RUN) client/examples/demo.py --model $(MODEL)

serve: $(MODEL)/manifest.json ## Serve the demonstration model on localhost:50051 until Ctrl-C
	@$(RUN) -m paravec_server.cli --model $(MODEL) --listen localhost:50051

FAQ ?= client/examples/faq_engine/faqs/office-en.jsonl
FAQ_MODEL := build/models/faq-$(basename $(notdir $(FAQ)))
FAQ_INDEX := $(FAQ_MODEL)-index

# Changed entries are indexed again, not trained again.
$(FAQ_MODEL)/manifest.json: model/paravec_model/artifact/manifest.py | $(VENV)/.ready
	@rm -rf $(FAQ_MODEL) && mkdir -p build
	@$(RUN) client/examples/faq_texts.py en-us $(FAQ) build/faq-texts.jsonl
	@$(RUN) -m paravec_model.cli train --jsonl build/faq-texts.jsonl --field text \
	  --output $(FAQ_MODEL)

$(FAQ_INDEX)/manifest.json: $(FAQ_MODEL)/manifest.json $(FAQ)
	@rm -rf $(FAQ_INDEX)
	@$(RUN) -m paravec_model.cli index $(FAQ_MODEL) --jsonl $(FAQ) --id-field question \
	  --field question --field answer --lexical --output $(FAQ_INDEX)

http: $(MODEL)/manifest.json ## Serve the demonstration model by HTTP on localhost:8080 too, through Envoy, until Ctrl-C
	@$(RUN) -m tests.envoys --model $(MODEL)

faq-index: $(FAQ_INDEX)/manifest.json ## Train the model of the example faq_engine, and index its entries (needs libreoffice-help-en-us)

faq: $(FAQ_INDEX)/manifest.json ## Serve the example faq_engine on localhost:8080 until Ctrl-C (needs libreoffice-help-en-us)
	@$(RUN) benchmarks/environments.py requirements/faq.lock build/faq
	@$(RUN) client/examples/faq.py --model $(FAQ_INDEX) --python build/faq/bin/python --faq $(FAQ)

FAQ_IMAGE ?= paravec-faq

faq-image: | $(VENV)/.ready ## Build the image of the example faq_engine
	@$(BUILD) -f client/examples/faq_engine/Dockerfile $(TAG_AS) $(FAQ_IMAGE):$(VERSION) $(call provenance) \
	  --label org.opencontainers.image.version=$(VERSION) .

PYTEST = $(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test: $(VENV)/.ready ## Run the tests, but for the slow ones
	@$(PYTEST) -m "not slow" $(ARGS)

slow-test: $(VENV)/.ready ## Run the slow tests: they install packages, compile, train large models, measure, start a browser, or render pairs
	@$(PYTEST) -m slow $(ARGS)

coverage: $(VENV)/.ready ## Run these tests, and show how much of client, model and server runs, in all processes
	@rm -rf build/coverage && mkdir -p build/coverage
	-@$(BIN)/coverage run $(filter-out $(RUN),$(PYTEST)) -m "not slow" $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --skip-covered
	@for package in client model server; do \
	  printf '%-8s %s%%\n' $$package "$$($(BIN)/coverage report --include="*/paravec_$$package/*" --format total)"; done

sanitize: $(VENV)/.ready ## Run the tests of kernels with AddressSanitizer and UndefinedBehaviorSanitizer (needs gcc)
	@$(RUN) -m tests.sanitize $(ARGS)

KERNELS := model/paravec_model/kernels

# C headers come from zig, so clang-tidy needs no compiler and reports the same on all machines.
HEADERS = $(shell $(RUN) -c 'import ziglang; print(ziglang.__path__[0] + "/lib/libc/include")')
TIDY_FLAGS = -std=c11 --target=x86_64-linux-musl -march=x86-64-v3 -nostdlibinc \
  -isystem $(HEADERS)/x86_64-linux-musl -isystem $(HEADERS)/generic-musl

lint: $(VENV)/.ready build/paravec.binpb ## Check format, lint, types, the C kernels and the contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/clang-format --dry-run -Werror $(KERNELS)/*.[ch]
	@output=$$($(BIN)/clang-tidy --quiet $(KERNELS)/*.c -- $(TIDY_FLAGS) 2>&1) || { echo "$$output"; exit 1; }
	@$(BIN)/buf lint build/paravec.binpb --path paravec
	@git ls-files '*Dockerfile' | xargs -r $(BIN)/hadolint
	@$(BIN)/shellcheck -a -x -P SCRIPTDIR .ci/run model/image/install-model tests/deploy/lab/*
	@$(BIN)/zizmor --quiet --offline --strict-collection --persona pedantic .

docs: $(VENV)/.ready ## Build the site into build/site; a dead link or an example that does not run fails
	@$(BIN)/sphinx-build -q -W --keep-going -d build/doctrees docs build/site
	@$(RUN) docs/check_links.py build/site $(wildcard *.md)
	@$(RUN) -m pytest -rs tests/docs/run_examples.py $(ARGS)

VERSION = $(shell $(RUN) -c 'import paravec_model; print(paravec_model.__version__)')

# The wheel for `any` has no kernels; its client works everywhere.
PLATFORMS = any $(shell $(RUN) -c 'from paravec_model.kernels.build import TARGETS; print(*TARGETS)')
DIST     ?= dist

dist: export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
dist: check-tag ## Build the wheels of all platforms and the source distribution into dist (TAG=v0.1.0)
	@rm -rf $(DIST)/paravec-*
	@$(RUN) -m hatchling build -d $(DIST) -t sdist
	@for platform in $(PLATFORMS); do \
	  CC= PARAVEC_WHEEL_PLATFORM=$$platform $(RUN) -m hatchling build -d $(DIST) -t wheel || exit 1; done

release: check-tag ## Make a release of dist on GitHub (TAG=v0.1.0; needs gh)
	@mkdir -p build
	@$(RUN) -m release.notes v$(VERSION) >build/notes.md
	@gh release create v$(VERSION) --verify-tag --title v$(VERSION) --notes-file build/notes.md $(DIST)/*

check-tag: | $(VENV)/.ready
	@[ '$(or $(TAG),v$(VERSION))' = v$(VERSION) ] || { echo "TAG is $(TAG), but the version is $(VERSION)" >&2; exit 1; }

images: server-image model-image ## Build both images (BUILDER=docker PLATFORM=platforms ARTIFACT=folder MODEL_TAG=1.0.0)

SERVER_IMAGE ?= paravec-server

comma := ,
BUILD  = $(BUILDER) build $(if $(PLATFORM),--platform $(PLATFORM)) $(BUILD_FLAGS)
# The images of several platforms have one name; buildah and podman call that a manifest.
TAG_AS = $(if $(findstring $(comma),$(PLATFORM)),$(if $(findstring docker,$(BUILDER)),-t,--manifest),-t)

# A fact about HEAD, or about the last commit of the given paths. Times are the commit's, so that it has one digest.
commit = $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=$(1) -- $(2) 2>/dev/null)
changed = $(shell git diff --quiet HEAD -- $(1) 2>/dev/null; [ $$? -ne 1 ] || echo -dirty)
provenance = --label org.opencontainers.image.revision=$(or $(call commit,%H,$(1)),unknown)$(call changed,$(1)) \
	  --label org.opencontainers.image.created=$(or $(call commit,%cd,$(1)),1970-01-01T00:00:00Z) \
	  $(if $(SOURCE_URL),--label org.opencontainers.image.source=$(SOURCE_URL)) \
	  --build-arg SOURCE_DATE_EPOCH=$(call epoch,$(1))
epoch = $(or $(call commit,%ct,$(1)),0)

server-image: check-tag ## Build the server's image (SERVER_IMAGE=name BUILD_FLAGS=further flags)
	@$(BUILD) -f server/Dockerfile $(TAG_AS) $(SERVER_IMAGE):$(VERSION) $(call provenance) \
	  --label org.opencontainers.image.version=$(VERSION) .

sbom: check-tag ## Write the SBOM that the server's image holds into dist, one for each platform
	@for platform in $(or $(subst $(comma), ,$(PLATFORM)),''); do \
	  $(BUILDER) build -f server/Dockerfile $${platform:+--platform $$platform} --target sbom \
	    --build-arg SOURCE_DATE_EPOCH=$(call epoch) --output type=local,dest=$(DIST) . || exit 1; done

# What the model's image is made from, besides the artifact; with nothing else in its labels, its digest stays.
MODEL_SOURCES = model/image release/model_sbom.py release/sbom.py

model-image: $(ARTIFACT)/manifest.json | $(VENV)/.ready ## Build the model's image (MODEL_LICENSE=SPDX expression)
	@rm -rf build/sbom && mkdir -p build/sbom
	@SOURCE_DATE_EPOCH=$(call epoch,$(MODEL_SOURCES)) $(RUN) -m release.model_sbom $(ARTIFACT) >build/sbom/model.cdx.json
	@facts=$$($(RUN) -c 'import sys, shlex, pathlib, paravec_model.artifact as m; \
	    f = m.read_manifest(pathlib.Path(sys.argv[1])); \
	    print(*(f"{k}={shlex.quote(getattr(f, k))}" for k in ("name", "version", "digest")))' $(ARTIFACT)) && eval "$$facts" \
	  && $(BUILD) --build-context artifact=$(ARTIFACT) --build-context sbom=build/sbom \
	    $(TAG_AS) $(MODEL_IMAGE):$(MODEL_TAG) $(call provenance,$(MODEL_SOURCES)) \
	    --label org.opencontainers.image.version="$$version" --label paravec.model.name="$$name" \
	    --label paravec.model.version="$$version" --label paravec.model.digest="$$digest" \
	    $(if $(MODEL_LICENSE),--label org.opencontainers.image.licenses='$(MODEL_LICENSE)') model/image

manifests: $(VENV)/.ready ## Render the overlays into build/manifests; validate them and each pair of components (needs kubectl)
	@$(RUN) -m tests.deploy.manifests
	@$(PYTEST) -q tests/deploy/test_composition.py $(ARGS)

deploy-test: $(VENV)/.ready ## Build the images and run the overlays in containers (needs root on Debian, kubectl)
	@$(RUN) -m pytest -rs --timeout 2400 $(addprefix tests/deploy/run_,pods.py models.py kserve.py canary.py http.py images.py) $(ARGS)

reproducible: $(VENV)/.ready ## Build the images of HEAD twice from nothing and compare their digests (needs root on Debian)
	@$(RUN) -m pytest -rs --timeout 2400 tests/deploy/run_reproducible.py $(ARGS)

languages-test: $(VENV)/.ready ## Run the examples for Spark and Go (needs Java, golang-google-grpc-dev, protoc-gen-go)
	@$(RUN) -m pytest -rs --timeout 600 tests/languages/run_go.py tests/languages/run_spark.py $(ARGS)

mteb-test: $(VENV)/.ready ## Run MTEB with our encoder (installs almost a gigabyte)
	@$(RUN) -m pytest -rs --timeout 900 tests/languages/run_mteb.py $(ARGS)

format: $(VENV)/.ready ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format -i $(KERNELS)/*.[ch]

# buf reads descriptors from protoc, because google/rpc/status.proto is in an installed package.
build/paravec.binpb: $(wildcard proto/paravec/*/*.proto proto/paravec/*/*/*.proto) | $(VENV)/.ready
	@mkdir -p build
	@$(RUN) proto/generate.py --descriptors $@

proto: $(VENV)/.ready ## Generate code, descriptors and the OpenAPI document from the .proto files
	@$(RUN) proto/generate.py proto
	@$(RUN) proto/generate.py --transcoder kustomize/components/http/paravec.binpb
	@$(RUN) proto/openapi.py proto/openapi.json

parity: $(VENV)/.ready ## Compare vectors with gensim's, for each kind of model
	@$(RUN) -m tests.parity

quality: $(VENV)/.ready ## Measure what vectors find, and write the tables of docs/explanation/quality.md (ten minutes; Debian's packages)
	@$(RUN) benchmarks/environments.py requirements/quality.lock build/quality
	@PYTHONPATH=proto:model:. OMP_NUM_THREADS=1 build/quality/bin/python -m benchmarks.quality --docs $(ARGS)

bench: $(VENV)/.ready ## Run the benchmarks against gensim and other servers (ARGS=--short takes a minute; needs h2load)
	@mkdir -p build/bench
	@for part in inference similar limits growth serving; do \
	  printf '\n=== %s\n' $$part; \
	  $(RUN) benchmarks/$$part.py --json build/bench/$$part.json $(ARGS) || exit 1; done
	@$(RUN) benchmarks/environments.py requirements/charts.lock build/charts
	@build/charts/bin/python benchmarks/charts.py build/bench/growth.json build/bench/serving.json

SECONDS ?= 600

soak: $(MODEL)/manifest.json ## Load a server for ten minutes and watch its memory (SECONDS=600)
	@mkdir -p build/bench
	@$(RUN) benchmarks/soak.py --model $(MODEL) --seconds $(SECONDS) --json build/bench/soak.json $(ARGS)

chaos: $(MODEL)/manifest.json ## Restart, kill and disconnect servers under load: no call may fail (needs root, iproute2)
	@mkdir -p build/bench
	@$(RUN) benchmarks/chaos.py --model $(MODEL) --json build/bench/chaos.json $(ARGS)

stops: $(MODEL)/manifest.json ## Measure how soon a server stops working for a client that is gone
	@mkdir -p build/bench
	@$(RUN) benchmarks/stops.py --model $(MODEL) --json build/bench/stops.json $(ARGS)

fuzz: $(MODEL)/manifest.json ## Fuzz a server with 100,000 requests
	@mkdir -p build/bench
	@$(RUN) benchmarks/fuzz.py --model $(MODEL) --json build/bench/fuzz.json $(ARGS)

lock: $(VENV)/.ready ## Update the dependency locks
	@$(RUN) -m pip install -qq uv
	@for set in dev:dev protobuf7:test; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --no-header --extra $${set#*:} --constraints requirements/$${set%:*}.in \
	    --output-file requirements/$${set%:*}.lock pyproject.toml || exit 1; done
	@for set in "oldest --extra test --resolution lowest-direct pyproject.toml" \
	    "server --extra server --extra otel --extra signature --extra stem pyproject.toml" \
	    "train --extra model --extra stem pyproject.toml" \
	    "quality --extra evaluation --extra model requirements/quality.in pyproject.toml" \
	    "build requirements/build.in" "bench-flask requirements/bench-flask.in" \
	    "bench-mlserver requirements/bench-mlserver.in" "bench-bentoml requirements/bench-bentoml.in" \
	    "bench-litserve requirements/bench-litserve.in" \
	    "adapters requirements/adapters.in" "charts requirements/charts.in" "kserve requirements/kserve.in" "modelpack requirements/modelpack.in" "mteb requirements/mteb.in" "oip requirements/oip.in" "openapi requirements/openapi.in" "ray requirements/ray.in" "signing requirements/signing.in" "spark requirements/spark.in" "faq requirements/faq.in" "browser requirements/browser.in"; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --no-header --output-file requirements/$${set%% *}.lock $${set#* } || exit 1; done

clean: ## Remove everything that make has created
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
