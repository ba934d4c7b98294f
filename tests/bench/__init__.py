"""Benchmarks: ratios measured in one run, interleaved pairs, medians. Run them with `make bench`."""
