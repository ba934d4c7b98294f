"""Declares nothing."""

import pulumi  # noqa: F401 - every program imports it
