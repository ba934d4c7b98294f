"""As many resources as a stack of ours has, of a provider that does nothing; and pulumi-docker's, where they are given."""

import json
import os
import re
from pathlib import Path

import pulumi


class Nothing(pulumi.CustomResource):
    """A resource that is always as declared."""

    def __init__(self, name: str) -> None:
        super().__init__("donothing:index:Nothing", name, {"value": name})


def declare(path: Path) -> None:
    """The resources of a file, each with type, name and inputs; the containers after what they are made of."""
    import pulumi_docker as docker

    declared = json.loads(path.read_text())
    provider = docker.Provider("docker", host=declared["engine"])
    made: list[pulumi.Resource] = []
    for each in declared["resources"]:
        kind = each["type"].rpartition(":")[2]
        inputs = {re.sub(r"(?=[A-Z])", "_", name).lower(): value for name, value in each["inputs"].items()}
        before = list(made) if kind == "Container" else []
        options = pulumi.ResourceOptions(provider=provider, depends_on=before)
        made.append(getattr(docker, kind)(each["name"], opts=options, **inputs))


for number in range(int(os.environ.get("DO_NOTHING_RESOURCES", "0"))):
    Nothing(f"nothing-{number}")
if "DOCKER_RESOURCES" in os.environ:
    declare(Path(os.environ["DOCKER_RESOURCES"]))
