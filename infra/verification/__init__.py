"""The verification: what is looked at, the checks themselves, and the process that runs them."""
