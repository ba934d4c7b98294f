"""The checks need a running stack: `up` and `circlepay verify` run them, a plain `pytest` does not collect them."""

collect_ignore_glob = ["test_*.py"]
