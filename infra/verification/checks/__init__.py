"""The checks: a pytest suite that verifies one running stack."""
