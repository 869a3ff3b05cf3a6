# Every target makes its own environment in .venv first; Python >= 3.11 is all that must be there.

SUITE ?= default
WORKERS ?= auto
SYSTEM ?=

# Environments of the caller's own must not leak into ours.
unexport PYTHONHOME PYTHONPATH PYTHONOPTIMIZE PYTHONSTARTUP PYTHONWARNINGS VIRTUAL_ENV
export PYTHONNOUSERSITE := 1

BIN := .venv/bin
DEMO := runs/demo
GALLERY := runs/gallery

ifeq ($(SUITE),default)
    MARKERS :=
else ifeq ($(SUITE),all)
    MARKERS := -m ""
else
    $(error SUITE must be default or all, got $(SUITE))
endif

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format validate reports bench clean distclean

help:  ## show this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

venv:  ## make .venv (the other targets do it by themselves)
	@PYTHON="$(PYTHON)" sh tools/setup_venv.sh

demo: venv  ## LLaMA2-7B on the FlightLLM U280: 128-token prompt, 512 generated tokens
	@$(BIN)/hwsim run flightllm/u280 llama2_7b --set workload.prompt_tokens=128 \
	    --set workload.output_tokens=512 --out $(DEMO)

test: venv  ## run the tests; SUITE=all adds the slow, paper, rtl and fuzz ones
	@$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 $(MARKERS)

lint: venv  ## ruff, formatting, mypy --strict, import ladder
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv  ## format the code and mend what ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

validate: venv  ## published claims against simulation; SYSTEM=flightllm for one system
	@$(BIN)/hwsim validate $(SYSTEM)

reports: venv  ## rebuild what is committed in reports/: validation table and figures
	@$(BIN)/hwsim validate --out reports/validation
	@$(BIN)/hwsim run flightllm/u280 llama2_7b --out $(GALLERY)
	@for sweep in speedups sensitivity; do $(BIN)/hwsim sweep reports/t3_gpu80/$$sweep.toml \
	    --out $(GALLERY)-$$sweep && cp $(GALLERY)-$$sweep/sweep.* $(GALLERY)-$$sweep/figures/*.png \
	    reports/t3_gpu80/$$sweep/ || exit; done
	@$(BIN)/hwsim rtl synth --out reports/rtl
	@mkdir -p reports/flightllm_u280 && cp $(GALLERY)/figures/*.png reports/flightllm_u280/

bench: venv  ## the toolkit's own speed
	@$(BIN)/hwsim bench

clean:  ## remove caches, builds and the demo's output
	rm -rf build dist $(DEMO) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find hwsim tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## also remove .venv
	rm -rf .venv
