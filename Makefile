# Every target makes the virtual environment it needs; nothing has to be installed by hand.
#   make serve MODEL=nano|3b|8b|14b|<checkpoint folder> PRECISION=float32|int8 PORT=8000

MODEL ?= nano
PRECISION ?= float32
PORT ?= 8000
PYTHON ?= python3

VENV := .venv
PY := $(VENV)/bin/python
# a folder's bundle is named by its whole path: two checkpoints may have the same last name
PLACE := $(if $(findstring /,$(MODEL)),-$(shell printf %s $(abspath $(MODEL)) | cksum | cut -d' ' -f1))
BUNDLE := build/out/$(notdir $(MODEL:/=))$(PLACE)-$(PRECISION)
INT8_BUNDLE := $(BUNDLE:%-$(PRECISION)=%-int8)
PIP_VERSION := 26.1
PIP := -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help build serve test test-train lint demo perf quality clean

help: ## Say what the targets do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: $(VENV)/ready ## Convert MODEL's checkpoint into an engine bundle under build/out
	$(PY) -m trimode_convert.build $(MODEL) --precision $(PRECISION) --out $(BUNDLE)

serve: build ## Serve MODEL on http://localhost:PORT (gRPC on PORT+1, metrics on PORT+2)
	exec $(PY) -m trimode.serve --bundle $(BUNDLE) --http-port $(PORT) --grpc-port $$(($(PORT) + 1)) --metrics-port $$(($(PORT) + 2))

test: $(VENV)/ready ## Run the tests: unit, parity with the reference, the real server
	$(PY) -m pytest

test-train: $(VENV)-train/ready ## Run the tests of train/, which need PyTorch
	$(VENV)-train/bin/python -m pytest tests/train

lint: $(VENV)/ready ## Check style and types
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

demo: build ## Serve MODEL for a moment and show one prompt in all three modes
	$(PY) -m trimode_client.demo --bundle $(BUNDLE)

perf: build ## Measure every mode through the engine, the control loop and Triton; write perf/RESULTS.md
	$(PY) -m trimode_convert.build $(MODEL) --precision int8 --out $(INT8_BUNDLE)
	$(PY) perf/run.py --bundle $(BUNDLE) --int8-bundle $(INT8_BUNDLE)

quality: FLOAT32_BUNDLE = $(BUNDLE:%-$(PRECISION)=%-float32)
quality: $(VENV)/ready ## Count what the checkpoint gets right in every mode and check what must hold; write its card
	$(PY) -m trimode_convert.build $(MODEL) --precision float32 --out $(FLOAT32_BUNDLE)
	$(PY) -m trimode_convert.build $(MODEL) --precision int8 --out $(INT8_BUNDLE)
	PYTHONPATH=perf $(PY) -m quality --checkpoint $(if $(findstring /,$(MODEL)),$(MODEL),checkpoints/$(MODEL)) --bundle $(FLOAT32_BUNDLE) --int8-bundle $(INT8_BUNDLE)

clean: ## Remove what was built here: bundles, environments, caches
	rm -rf build/out $(VENV) $(VENV)-train perf/.tools perf/out .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) $(PIP) install pip==$(PIP_VERSION)
	$(PY) $(PIP) install -e '.[convert,test,lint,perf]'
	$(PY) $(PIP) install --no-deps --group tritonserver
	@touch $@

$(VENV)-train/ready: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-train
	$(VENV)-train/bin/python $(PIP) install -e '.[train,test]'
	@touch $@
