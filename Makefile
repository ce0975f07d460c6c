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

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo serve faq faq-image model model-it test sanitize lint format docs images manifests deploy-test languages-test proto parity bench soak chaos stops fuzz lock clean

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
	@$(RUN) -m paravec_model.cli train --corpus lee --output $(MODEL) \
	  --dm 0 --vector-size 100 --min-count 2 --epochs 40 --doctags

MODEL_IT := build/models/doc2vec-model-it

model-it: $(MODEL_IT)/manifest.json ## Train the Italian model on LibreOffice's help in a container

$(MODEL_IT)/manifest.json:
	@rm -rf $(MODEL_IT) && mkdir -p $(MODEL_IT)
	@$(BUILDER) build -f model/image/train.Dockerfile --output type=local,dest=$(MODEL_IT) .

demo: $(MODEL)/manifest.json ## Train a model, serve it and embed a text
	@$(RUN) client/examples/demo.py --model $(MODEL)

serve: $(MODEL)/manifest.json ## Serve the demonstration model on localhost:50051 until Ctrl-C
	@$(RUN) -m paravec_server.cli --model $(MODEL) --listen localhost:50051

FAQ ?= client/examples/faq_engine/faqs/office-en.json
FAQ_MODEL := build/models/help-en

$(FAQ_MODEL)/manifest.json: model/paravec_model/artifact/manifest.py | $(VENV)/.ready
	@rm -rf $(FAQ_MODEL)
	@$(RUN) -m paravec_model.cli train --corpus libreoffice-help-en-us --output $(FAQ_MODEL) --min-count 2 --epochs 40

faq: $(FAQ_MODEL)/manifest.json ## Serve the example faq_engine on localhost:8080 until Ctrl-C (needs libreoffice-help-en-us)
	@$(RUN) benchmarks/environments.py requirements/faq.lock build/faq
	@$(RUN) client/examples/faq.py --model $(FAQ_MODEL) --python build/faq/bin/python --faq $(FAQ)

faq-image: | $(VENV)/.ready ## Build the image of the example faq_engine
	@version=$$($(RUN) -c 'import paravec_model; print(paravec_model.__version__)') \
	  && $(BUILDER) build -f client/examples/faq_engine/Dockerfile -t paravec-faq:$$version \
	    --label org.opencontainers.image.version=$$version .

test: $(VENV)/.ready ## Run all tests
	@$(RUN) -m pytest --numprocesses auto --maxprocesses 4 $(ARGS)

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
	@$(BIN)/shellcheck -x -P SCRIPTDIR .ci/run model/image/install-model tests/deploy/lab/*

docs: $(VENV)/.ready ## Build the site into build/site; a dead link or an example that does not run fails
	@$(BIN)/sphinx-build -q -W --keep-going -d build/doctrees docs build/site
	@$(RUN) docs/check_links.py build/site $(wildcard *.md)
	@$(RUN) -m pytest -rs tests/docs/run_examples.py $(ARGS)

images: $(ARTIFACT)/manifest.json | $(VENV)/.ready ## Build both images (BUILDER=docker ARTIFACT=folder MODEL_TAG=1.0.0)
	@version=$$($(RUN) -c 'import paravec_model; print(paravec_model.__version__)') \
	  && $(BUILDER) build -f server/Dockerfile -t paravec-server:$$version --label org.opencontainers.image.version=$$version \
	    --label org.opencontainers.image.revision=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .
	@facts=$$($(RUN) -c 'import sys, shlex, pathlib, paravec_model.artifact as m; \
	    f = m.read_manifest(pathlib.Path(sys.argv[1])); \
	    print(*(f"{k}={shlex.quote(getattr(f, k))}" for k in ("name", "version", "digest")))' $(ARTIFACT)) && eval "$$facts" \
	  && $(BUILDER) build --build-context artifact=$(ARTIFACT) -t $(MODEL_IMAGE):$(MODEL_TAG) \
	    --label org.opencontainers.image.version="$$version" --label paravec.model.name="$$name" \
	    --label paravec.model.version="$$version" --label paravec.model.digest="$$digest" model/image

manifests: $(VENV)/.ready ## Render the Kustomize overlays into build/manifests and validate them (needs kubectl)
	@$(RUN) -m tests.deploy.manifests

deploy-test: $(VENV)/.ready ## Build the images and run the overlays in containers (needs root on Debian, kubectl)
	@$(RUN) -m pytest -rs --timeout 2400 tests/deploy/run_containers.py $(ARGS)

languages-test: $(VENV)/.ready ## Run the examples for Spark and Go (needs Java, golang-google-grpc-dev, protoc-gen-go)
	@$(RUN) -m pytest -rs --timeout 600 tests/languages/run_go.py tests/languages/run_spark.py $(ARGS)

format: $(VENV)/.ready ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format -i $(KERNELS)/*.[ch]

# buf reads descriptors from protoc, because google/rpc/status.proto is in an installed package.
build/paravec.binpb: $(wildcard proto/paravec/*/*.proto proto/paravec/*/*/*.proto) | $(VENV)/.ready
	@mkdir -p build
	@$(RUN) proto/generate.py --descriptors $@

proto: $(VENV)/.ready ## Generate code from the .proto files
	@$(RUN) proto/generate.py proto

parity: $(VENV)/.ready ## Compare vectors with gensim's, for each kind of model
	@$(RUN) -m tests.parity

bench: $(VENV)/.ready ## Run the benchmarks against gensim and other servers (ARGS=--short takes a minute; needs h2load)
	@mkdir -p build/bench
	@for part in inference similar limits growth serving; do \
	  case $$part in growth|serving) charts="--charts build/bench";; *) charts=;; esac; \
	  printf '\n=== %s\n' $$part; \
	  $(RUN) benchmarks/$$part.py --json build/bench/$$part.json $$charts $(ARGS) || exit 1; done

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
	    "server --extra server --extra otel pyproject.toml" \
	    "train --extra model pyproject.toml" \
	    "build requirements/build.in" "bench-flask requirements/bench-flask.in" \
	    "bench-mlserver requirements/bench-mlserver.in" "bench-bentoml requirements/bench-bentoml.in" \
	    "bench-litserve requirements/bench-litserve.in" "oip requirements/oip.in" "ray requirements/ray.in" "spark requirements/spark.in" "faq requirements/faq.in" "browser requirements/browser.in"; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --no-header --output-file requirements/$${set%% *}.lock $${set#* } || exit 1; done

clean: ## Remove everything that make has created
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
