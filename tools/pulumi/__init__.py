"""The Pulumi CLI: the user's own where it will do, else the pinned one, built from source."""
