"""The steps of the flow as Pulumi resources, one file each; infra/deployment.py puts them in order."""
