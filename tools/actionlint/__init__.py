"""actionlint, which checks the workflows: built from its pinned module once per user and pin."""
