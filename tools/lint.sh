#!/bin/sh
# Every check that runs nothing: style, types, import rules, shell.
set -eu
ruff check --quiet .
ruff format --check --quiet . || { echo 'circlepay: not formatted: run make fmt' >&2; exit 1; }
mypy --no-error-summary
lint-imports --no-cache >/dev/null || { lint-imports --no-cache; exit 1; }
shellcheck tools/*.sh tools/bin/circlepay tests/images/*.sh tests/images/*/*.sh .ci/run infra/provider/pulumi-resource-circlepay
echo 'circlepay: lint passed'
