"""The contract: what every target promises, run unchanged against each."""
