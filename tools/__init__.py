"""What stands around the package: its environment, the Pulumi toolchain, the make targets. Standard library only."""
