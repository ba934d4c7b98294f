"""Without a subject there is nothing to look at: `up` and `circlepay verify` run this suite, `pytest` does not."""

collect_ignore_glob = ["test_*.py"]
