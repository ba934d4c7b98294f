"""Reads `pulumi stack ls --json`, writes the stacks' names, one a line."""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    for stack in json.load(sys.stdin):
        print(stack["name"].rsplit("/", 1)[-1])
