"""Checks that only servers in containers need: how each is hardened, limited and private."""
