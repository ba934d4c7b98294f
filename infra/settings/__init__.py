"""One page of typed configuration. Each module imports from those before it: types, docker, model, problems, rules, loading."""
