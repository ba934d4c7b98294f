"""Secrets: generated once, supplied by the user, checked for strength, recovered from an env file."""
