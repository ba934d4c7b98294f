#!/bin/sh
# Every check that runs nothing: style, types, import rules, shell.
set -eu
ruff check --quiet .
ruff format --check --quiet . || { echo 'circlepay: not formatted: run make fmt' >&2; exit 1; }
mypy --no-error-summary
mypy --no-error-summary tools
lint-imports --no-cache >/dev/null || { lint-imports --no-cache; exit 1; }
shellcheck tools/*.sh tools/test-images/*.sh tools/test-images/*/*.sh .ci/run infra/provider/pulumi-resource-circlepay
echo 'circlepay: lint passed'
