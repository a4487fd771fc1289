# What a developer does, and what CI does: the same. `make` alone lists it.
# Needs make and Python 3.11 or later; another one than python3: `PYTHON=python3.12 make test`.

PYTHON ?= python3
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
# The wire and its errors decide about money, so every branch of them is tested.
WIRE := langchain_qwen_image/wire/*,langchain_qwen_image/errors.py

# Two cores, and two workers more, since many tests wait; the slow tests, which tests/conftest.py puts
# first, start first. Bytecode is written, or each process would compile what it imports again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n 4 --dist loadgroup --no-loadscope-reorder
# Each has an environment of its own, and tests/hosts drives its programs.
HOSTS := agent-chat-ui chainlit fastapi gradio marimo streamlit
# What tests/conftest.py says of markers holds here too.
ALL := -m 'not hosts and not engines'
# Neither what takes long nor what needs more than the package: the pages, the project, a browser.
# What old versions of libraries warn of among themselves is no failure of ours.
QUICK := -m 'not slow and not long and not hosts and not engines' -W ignore::DeprecationWarning \
	-W ignore::PendingDeprecationWarning --ignore=tests/docs --ignore=tests/project \
	--ignore=tests/gallery/test_gallery_browser.py

.PHONY: help demo test coverage test-all test-long test-browser test-docs hosts engines test-lowest lint format \
	type check browser docs dist bench fleet-bench record record-live

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.cli ## generate a placeholder image, demo.png: no key, no cost
	@$(BIN)/qwen-image generate 'A lighthouse on a cliff at dusk, oil painting' --sandbox --force -o demo.png

test: $(VENV)/.dev ## run the tests; they cannot reach the network or spend money
	@$(PYTEST)

coverage: $(VENV)/.dev ## run the tests and hold how much of the code they reach
	@$(BIN)/coverage erase
	@$(PYTEST) --cov --cov-report=term
	@$(BIN)/coverage report --include=$(WIRE) --fail-under=100 --format=total >/dev/null \
		|| { $(BIN)/coverage report --include=$(WIRE); false; }

test-all: $(VENV)/.dev ## run the long tests too, which repeat a law many times
	@$(PYTEST) $(ALL)

test-long: $(VENV)/.dev ## run the long tests alone
	@$(PYTEST) -m long

test-browser: $(VENV)/.dev ## run the tests of the gallery in Chromium
	@$(PYTEST) $(ALL) tests/gallery

test-docs: $(VENV)/.dev ## run what the README, the pages and the examples show
	@$(PYTEST) $(ALL) tests/docs

hosts: .venv-hosts/.hosts .venv-autogen/.hosts $(HOSTS:%=.venv-hosts-%/.host) ## run the tests with the real frameworks and clients of others
	@.venv-hosts/bin/pytest -q -n 2 -m hosts tests/hosts
	@.venv-autogen/bin/pytest -q -m hosts tests/hosts/test_frameworks.py

engines: .venv-engines/.engines ## kill workers of Celery, Ray Data and LangGraph's server, and count what is paid
	@.venv-engines/bin/pytest -q -n 0 -m engines tests/engines

test-lowest: .venv-lowest/.lowest ## run the quick tests with the lowest versions that are allowed
	@.venv-lowest/bin/pytest -q -n 2 $(QUICK)

lint: $(VENV)/.dev ## look for mistakes, and for imports against the order of the rooms
	@$(BIN)/ruff check
	@$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/.dev ## write every file in the one format
	@$(BIN)/ruff format

type: $(VENV)/.dev $(VENV)/.pyright ## check the types, and with pyright a program that uses the package
	@$(BIN)/mypy
	@$(BIN)/basedpyright --pythonpath $(BIN)/python

check: $(VENV)/.dev ## lint, look at the format, check the types, test with coverage
	@$(MAKE) --no-print-directory lint
	@$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory type coverage

# The variable keeps Material from printing at each build that a successor follows it in 2027.
# No --quiet: with it --strict counts no warning (MkDocs 1.6).
browser: ## install Chromium where there is none, for the tests of the gallery (Debian, as root)
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; done; \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 \
		|| echo 'Chromium could not be installed; the tests that need it are skipped.'

docs: $(VENV)/.dev ## build the pages and the API reference into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: .venv-dist/.dist ## build wheel and sdist, check their metadata, and try both in fresh environments
	@rm -rf dist
	@.venv-dist/bin/python -m build --outdir dist . >/dev/null
	@.venv-dist/bin/python -m twine check --strict dist/*
	@.venv-dist/bin/python scripts/check_dist.py dist

bench: .venv-bench/.bench ## measure against other clients, on loopback; rewrites benchmarks/RESULTS.md
	@.venv-bench/bin/python -m benchmarks --output benchmarks/RESULTS.md

fleet-bench: $(VENV)/.dev ## kill a fleet's workers and measure it, on loopback; writes its part of RESULTS.md
	@$(BIN)/python -m benchmarks.fleet --output benchmarks/RESULTS.md

record: $(VENV)/.dev ## record the sandbox cassettes again, from a sandbox server: no key, no cost
	@$(BIN)/python scripts/record.py

record-live: $(VENV)/.dev ## record from the paid gateway; says the price and asks first
	@$(BIN)/python scripts/record.py --live

# Dependency groups need pip 25.1; a new virtual environment has an older one.
$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or later is needed, $(PYTHON) is %d.%d: PYTHON=python3.12 make …" % sys.version_info[:2])'
	@echo 'Setting up $(VENV), once …'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.cli: pyproject.toml | $(VENV)/.pip
	@echo 'Installing the package and its extra "cli" into $(VENV) …'
	@$(BIN)/python -m pip install --quiet --editable '.[cli]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.pip
	@echo 'Installing the package and its development tools into $(VENV) …'
	@$(BIN)/python -m pip install --quiet --group dev --editable '.[cli]'
	@touch $@ $(VENV)/.cli

# Only `make type` needs it, and Node.js, which comes with it, is large.
$(VENV)/.pyright: pyproject.toml | $(VENV)/.dev
	@echo 'Installing pyright into $(VENV) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group pyright
	@touch $@

# pip cannot choose the lowest versions, uv can.
.venv-lowest/.lowest: pyproject.toml
	@$(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/.pip
	@echo 'Installing the lowest versions that are allowed into .venv-lowest …'
	@.venv-lowest/bin/python -m pip install --quiet --group lowest
	@.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --group test \
		--resolution lowest-direct --editable '.[cli,view]'
	@touch $@

.venv-hosts/.hosts: pyproject.toml
	@$(MAKE) --no-print-directory VENV=.venv-hosts .venv-hosts/.pip
	@echo 'Installing the frameworks and clients of others into .venv-hosts …'
	@.venv-hosts/bin/python -m pip install --quiet --group test --group hosts --editable '.[cli,view]'
	@touch $@

.venv-engines/.engines: pyproject.toml
	@$(MAKE) --no-print-directory VENV=.venv-engines .venv-engines/.pip
	@.venv-engines/bin/python -m pip install --quiet --group test --editable '.[cli,view,postgres]'
	@.venv-engines/bin/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["engines"], sep="\0", end="")' \
		| xargs -0 -n 1 sh -c 'echo "Installing $$0 …"; \
			.venv-engines/bin/python -m pip install --quiet "$$0" || echo "$$0 could not be installed."'
	@touch $@

.venv-autogen/.hosts: pyproject.toml
	@$(MAKE) --no-print-directory VENV=.venv-autogen .venv-autogen/.pip
	@echo 'Installing AutoGen into .venv-autogen …'
	@.venv-autogen/bin/python -m pip install --quiet --group test --group hosts-autogen --editable '.[cli,view]'
	@touch $@

# What cannot be installed is skipped by its tests, by name.
.venv-hosts-%/.host: pyproject.toml
	@$(MAKE) --no-print-directory VENV=.venv-hosts-$* .venv-hosts-$*/.pip
	@echo 'Installing $* into .venv-hosts-$* …'
	@.venv-hosts-$*/bin/python -m pip install --quiet --group host-$* --editable '.[sandbox]' \
		&& touch $@ || echo '$* could not be installed.'

# From npm, without the scripts of its packages.
.venv-hosts-agent-chat-ui/.host:
	@echo 'Installing Agent Chat UI into .venv-hosts-agent-chat-ui …'
	@rm -rf .venv-hosts-agent-chat-ui && mkdir -p .venv-hosts-agent-chat-ui
	@cd .venv-hosts-agent-chat-ui && { npx --yes create-agent-chat-app@0.1.6 --project-name ui \
		--package-manager npm --install-deps false --framework vite --include-agent react \
		&& cd ui/apps/web && npm install --legacy-peer-deps --ignore-scripts --no-audit --no-fund; \
		} >npm.log 2>&1 && touch $(CURDIR)/$@ || echo 'Agent Chat UI could not be installed.'

.venv-dist/.dist: pyproject.toml
	@$(MAKE) --no-print-directory VENV=.venv-dist .venv-dist/.pip
	@.venv-dist/bin/python -m pip install --quiet --group release
	@touch $@

# One at a time: what cannot be installed is left out of the tables, by name.
.venv-bench/.bench: pyproject.toml
	@$(MAKE) --no-print-directory VENV=.venv-bench .venv-bench/.cli
	@.venv-bench/bin/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["bench"], sep="\0", end="")' \
		| xargs -0 -n 1 sh -c 'echo "Installing $$0 …"; .venv-bench/bin/python -m pip install --quiet "$$0" || true'
	@touch $@
