"""Locales that PostgreSQL brings along, whatever its operating system has."""

BUILTIN_LOCALES = {"C": 17, "C.UTF-8": 17, "PG_UNICODE_FAST": 18}
"""Locale of the builtin provider -> first major version that has it: https://www.postgresql.org/docs/18/locale.html"""
