# `make up` runs the whole platform on this machine; everything it needs is installed under this folder.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help up down status install sync test lint docs format bench load dashboards observability-test images compose-env compose-test deploy-lint extras-test helm-test clean

# uv from PATH, or one of our own in .tools: by venv, or by pip alone where ensurepip is missing. A pyenv
# without the version of .python-version has a python3 that fails, so others are tried after it.
#
# Then the Python for .venv. uv finds that of .python-version on PATH, in .venv, or among its own; where
# there is none, another one that suits is taken, from PATH or pyenv's folder. Only then uv downloads one.
define find_uv
uv="$$(command -v uv || true)"; \
if [ -z "$$uv" ]; then \
  uv="$$PWD/.tools/bin/uv"; \
  for python in python3 /usr/bin/python3 $(PYENV_PYTHONS); do \
    if "$$uv" --version > /dev/null 2>&1; then break; fi; \
    echo "Installing uv into .tools, with $$python"; rm -rf .tools; \
    if ! { "$$python" -m venv .tools && .tools/bin/python -m pip install --quiet uv; } > /dev/null 2>&1; then \
      rm -rf .tools; "$$python" -m pip install --quiet --target .tools uv || true; \
    fi; \
  done; \
fi; \
if [ -z "$${UV_PYTHON:-}" ] && ! "$$uv" python find --no-python-downloads > /dev/null 2>&1; then \
  for python in '>=3.12,<3.15' $(PYENV_PYTHONS); do \
    if python="$$("$$uv" python find --no-python-downloads "$$python" 2> /dev/null)"; then \
      export UV_PYTHON="$$python"; break; \
    fi; \
  done; \
fi
endef
PYENV_PYTHONS = $(foreach minor,13 14 12,$(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.$(minor).*/bin/python))

help: ## This list
	@grep -E '^[a-z-]+:.*## ' "$(firstword $(MAKEFILE_LIST))" | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

# Both are quick when nothing has changed. `install` adds what the platform needs and removes nothing, so
# that it leaves alone what `sync`, for tests and checks, has installed beside it.
installing = [ -d .venv ] || echo "Installing the locked environment: minutes the first time, seconds later"
install: # The platform's packages in .venv
	@$(installing); $(find_uv); "$$uv" sync --quiet --locked --extra local --inexact

sync: # All extras in .venv, and nothing else
	@$(installing); $(find_uv); "$$uv" sync --quiet --locked --all-extras

up: install ## Start the platform and train its first model (REALTOR_CSV=… or REALTOR_API_URL=… for your own data)
	@.venv/bin/realtor up

down: ## Stop the platform
	@if [ -x .venv/bin/realtor ]; then .venv/bin/realtor down; else echo "Nothing is installed here."; fi

status: install ## Show the platform's programs
	@.venv/bin/realtor status

# With TESTS=… only those. With COVERAGE=1 also which lines of our packages they run, in every process: build/coverage/report.txt.
test: sync ## Run the tests (TESTS="tests/model …"; COVERAGE=1: fail below the floor of coverage)
ifdef COVERAGE
	@rm -rf build/coverage; mkdir -p build/coverage
	@.venv/bin/coverage run -m pytest $(TESTS)
	@.venv/bin/coverage combine --quiet
	@status=0; .venv/bin/coverage report > build/coverage/report.txt || status=$$?; \
	grep -E '^TOTAL|^Coverage failure' build/coverage/report.txt; exit $$status
else
	@.venv/bin/pytest $(TESTS)
endif

lint: sync ## Check style, types and the direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

docs: sync ## Build the docs site into build/site; fails on any warning
	@$(find_uv); "$$uv" sync --quiet --locked --all-extras --group docs
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

format: sync ## Format the code
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

bench: sync ## Run the benchmarks against their baselines
	@for each in benchmarks/[!_]*.py; do [ -e "$$each" ] || continue; .venv/bin/python "$$each"; done

HOST = http://127.0.0.1:8080
USERS = 16
DURATION = 60s
load: sync ## Load the running service and judge it (HOST=… USERS=… DURATION=…); report in build/load.html
	@mkdir -p build; .venv/bin/locust -f realtor_serving/load_test/locustfile.py --host "$(HOST)" --headless \
		-u "$(USERS)" -r "$(USERS)" -t "$(DURATION)" --only-summary --html build/load.html

dashboards: sync # Grafana's dashboards, made by deploy/observability/dashboards
	@.venv/bin/python -m deploy.observability.dashboards

observability-test: sync # Every alert's test, and every dashboard's query against a real run; needs Prometheus' programs
	@.venv/bin/python -m deploy.observability.check

IMAGE_TAG ?= $(shell git rev-parse --short HEAD 2> /dev/null || echo dev)
images: ## Build the images with docker or buildah (IMAGE_PREFIX=… IMAGE_TAG=…)
	@IMAGE_TAG="$(IMAGE_TAG)" deploy/images/build.sh

compose-env: ## Write deploy/compose/.env with random secrets
	@python3 deploy/compose/make_env.py "$(IMAGE_TAG)"

compose-test: sync ## Bring the compose file up for real and look at what it promises (docker, or podman's socket)
	@.venv/bin/python -m tests.deploy.compose_proof --tag "$(IMAGE_TAG)" $(COMPOSE_TEST_ARGS)

deploy-lint: ## Check the Dockerfiles and the compose file, with the tools that are there
	@deploy/lint.sh

extras-test: ## Build the wheel, install each extra in an environment of its own, and try it (EXTRAS="model ui")
	@$(find_uv); PATH="$$(dirname "$$uv"):$$PATH" "$$uv" run --no-project python -m tests.extras_proof $(EXTRAS)

helm-test: sync ## Render, validate and judge the Helm chart, Argo CD's files and the workflows
	@[ -x build/tools/bin/helm ] || .venv/bin/python deploy/helm/tools.py build/tools
	@PATH="$$PWD/build/tools/bin:$$PATH" .venv/bin/pytest -n 0 -rs tests/deploy/test_kubernetes.py tests/deploy/test_workflows.py

clean: ## Remove everything that was installed or made here, the platform's data included
	@if [ -x .venv/bin/realtor ]; then .venv/bin/realtor down --purge; fi
	@rm -rf .venv .tools .realtor build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@if [ -L .env ]; then rm .env; fi
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
