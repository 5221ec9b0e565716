# `just check` is what CI checks, without the installing: see .ci/run.

# list the recipes
default:
    @just --list

# everything that has to pass before a change is merged
check: lint format-check types docs-check skills-check test

# faults and style
lint:
    uv run --all-extras ruff check

# layout of the code
format-check:
    uv run --all-extras ruff format --check

# types
types:
    uv run --all-extras pyright

# docs/operations.md says what the code does
docs-check:
    uv run --all-extras python docs/generate.py --check

# the skills follow the Agent Skills specification
skills-check:
    #!/usr/bin/env sh
    set -eu
    for skill in skills/*/; do
        uv run --all-extras agentskills validate "$skill"
    done

# all tests
test:
    uv run --all-extras pytest

# mend what can be mended: format, imports, docs/operations.md
fix:
    uv run --all-extras ruff check --fix
    uv run --all-extras ruff format
    uv run --all-extras python docs/generate.py
