"""As many resources as a stack of ours has, of a provider that does nothing."""

import os

import pulumi


class Nothing(pulumi.CustomResource):
    """A resource that is always as declared."""

    def __init__(self, name: str) -> None:
        super().__init__("donothing:index:Nothing", name, {"value": name})


for number in range(int(os.environ["DO_NOTHING_RESOURCES"])):
    Nothing(f"nothing-{number}")
