# Everything a checkout can do, with or without a ROS installation (scripts/build.sh says how).
SHELL := /bin/bash
SOURCE ?= synthetic:walk
SECONDS_SHOWN ?= 15
in_environment := source scripts/environment.sh &&

.PHONY: help build demo test bench lint lock clean

help:
	@echo "make build | demo [SOURCE=file.mp4|0] | test | bench | lint | lock | clean"

build:
	@scripts/build.sh

demo: build
	@$(in_environment) mambapose demo --source "$(SOURCE)" --seconds $(SECONDS_SHOWN)

# Linters first: they take seconds.
test: build lint
	@$(in_environment) pytest $(PYTEST_ARGUMENTS)

# Not among them: soak.py takes a quarter of an hour or more, lifter_baselines.py motion capture and hours.
BENCHMARKS := $(addprefix benchmarks/,lifter.py pose_node.py detectors.py accuracy.py tracking.py synthetic.py lifecycle.py)
bench: build
	@$(in_environment) mambapose bench && for benchmark in $(BENCHMARKS); do echo "== $$benchmark"; python "$$benchmark" || exit 1; done

lint: build
	@$(in_environment) ruff check . && ruff format --check . && mypy

# Versions for Python 3.10 to 3.12 in one file.
lock:
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.10 --extra ros --extra dev \
	  --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	rm -rf .build .venv build demo install
