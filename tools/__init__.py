"""What runs before there are Python packages: it makes the environment and the Pulumi toolchain. Standard library only."""
