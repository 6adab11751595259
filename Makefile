# Every target makes the virtual environment it needs; nothing has to be installed by hand.
#   make serve MODEL=nano|3b|8b|14b|<checkpoint folder> PRECISION=float32|int8 PORT=8000
#   make build MODEL=8b GPU=L40S-48G   compiles for a GPU as build/8b.yaml says; make serve ... GPUS=0,1 serves it on two

MODEL ?= nano
PRECISION ?= float32
GPU ?=
GPUS ?=
PORT ?= 8000
PYTHON ?= python3
IMAGE ?= trimode

VENV := .venv
PY := $(VENV)/bin/python
# a folder's bundle is named by its whole path: two checkpoints may have the same last name
PLACE := $(if $(findstring /,$(MODEL)),-$(shell printf %s $(abspath $(MODEL)) | cksum | cut -d' ' -f1))
BUNDLE := build/out/$(notdir $(MODEL:/=))$(PLACE)-$(or $(GPU),$(PRECISION))
INT8_BUNDLE := $(BUNDLE:%-$(PRECISION)=%-int8)
PIP_VERSION := 26.1
PIP := -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help build serve test test-quick test-train lint layout demo perf perf-analyzer quality editing peers gpu-check conversion image clean

help: ## Say what the targets do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: $(VENV)/ready ## Convert MODEL's checkpoint into an engine bundle under build/out
	$(PY) -m trimode_convert.recipe $(MODEL) --precision $(PRECISION) --out $(BUNDLE) $(if $(GPU),--gpu $(GPU))

serve: build ## Serve MODEL on http://localhost:PORT (gRPC on PORT+1, metrics on PORT+2)
	exec $(PY) -m trimode.server --bundle $(BUNDLE) --http-port $(PORT) --grpc-port $$(($(PORT) + 1)) --metrics-port $$(($(PORT) + 2)) $(if $(GPUS),--gpus $(GPUS))

test: $(VENV)/ready ## Run the tests: unit, parity with the reference, the real server
	$(PY) -m pytest $(if $(CI),--durations=10)

test-quick: $(VENV)/ready ## Run the tests that need no server, no other process and less than two seconds each
	$(PY) -m pytest -q -m "not subprocess and not slow" tests/trimode tests/convert tests/client tests/perf tests/parity tests/repository

test-train: $(VENV)-train/ready ## Run the tests of train/, which need PyTorch
	$(VENV)-train/bin/python -m pytest tests/train

lint: $(VENV)/ready ## Check style and types
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

layout: ## Print the rooms, floors and arrows of each package, from its own imports
	$(PYTHON) scripts/layout.py

demo: build ## Serve MODEL for a moment and show one prompt in auto and the three modes
	$(PY) -m trimode_client.cli.demo --bundle $(BUNDLE)

perf: build $(if $(filter-out peers,$(PART)),,$(VENV)-train/ready) ## Measure every part in some fifteen minutes, or PART=layers|auto|...; write perf/RESULTS.md
	$(if $(filter-out int8,$(PART)),,$(PY) -m trimode_convert.recipe $(MODEL) --precision int8 --out $(INT8_BUNDLE))
	$(PY) -m trimode_perf.speed.run --bundle $(BUNDLE) --model $(MODEL) --checkpoint $(if $(findstring /,$(MODEL)),$(MODEL),checkpoints/$(MODEL)) --int8-bundle $(INT8_BUNDLE) --peers-python $(VENV)-train/bin/python $(if $(PART),--part $(PART))

perf-analyzer: $(VENV)/ready ## Load a running server with NVIDIA's perf_analyzer: URL=host:port of its gRPC, MODE=auto|diffusion|...
	$(PY) -m trimode_perf.speed.perf_analyzer --url $(or $(URL),localhost:$(shell echo $$(($(PORT) + 1)))) --mode $(or $(MODE),auto)

quality: FLOAT32_BUNDLE = $(BUNDLE:%-$(PRECISION)=%-float32)
quality: $(VENV)/ready ## Count what the checkpoint gets right in every mode and check what must hold; write its card
	$(PY) -m trimode_convert.recipe $(MODEL) --precision float32 --out $(FLOAT32_BUNDLE)
	$(PY) -m trimode_convert.recipe $(MODEL) --precision int8 --out $(INT8_BUNDLE)
	$(PY) -m trimode_perf.quality --checkpoint $(if $(findstring /,$(MODEL)),$(MODEL),checkpoints/$(MODEL)) --bundle $(FLOAT32_BUNDLE) --int8-bundle $(INT8_BUNDLE)

editing: build ## Count how well gaps are filled, corrupted answers mended, effort spent; write perf/EDITING.md
	$(PY) -m trimode_perf.editing --checkpoint $(if $(findstring /,$(MODEL)),$(MODEL),checkpoints/$(MODEL)) --bundle $(BUNDLE)

peers: build $(VENV)-train/ready ## Compare with torch eager, transformers and OpenVINO GenAI on the same prompts (a part of perf)
	$(PY) -m trimode_perf.peers --checkpoint $(if $(findstring /,$(MODEL)),$(MODEL),checkpoints/$(MODEL)) --bundle $(BUNDLE) --python $(VENV)-train/bin/python

gpu-check: ## Check and time the engines on this machine's NVIDIA GPU; needs PYTHON to have torch, and nothing else
	PYTHONPATH=perf:train:python_backend:convert $(PYTHON) -m trimode_perf.gpu

conversion: $(VENV)/ready ## Measure the memory that converting a checkpoint of 3B's size takes (18 GB of disk)
	$(PY) -m trimode_perf.conversion --size 3b

image: ## Build the container of build/Dockerfile (NVIDIA's Triton with this project) as IMAGE
	@docker info >/dev/null 2>&1 || { echo "make image needs a running Docker daemon: docker info says why not" >&2; exit 1; }
	docker build --file build/Dockerfile --tag $(IMAGE) .

clean: ## Remove what was built here: bundles, environments, caches
	rm -rf build/out $(VENV) $(VENV)-train perf/.tools perf/out .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) $(PIP) install pip==$(PIP_VERSION)
	$(PY) $(PIP) install --constraint constraints.txt -e '.[serve,convert,test,lint,perf]'
	$(PY) $(PIP) install --no-deps --group tritonserver
	@touch $@

$(VENV)-train/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)-train
	$(VENV)-train/bin/python $(PIP) install --constraint constraints.txt -e '.[test,peers]'
	@touch $@
