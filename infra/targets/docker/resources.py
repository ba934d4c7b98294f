"""The resource types that only this target has, as seen from a Pulumi program; see resource_types.py."""

from __future__ import annotations

import pulumi

from infra.declarations.resources import Resource


class ImagePin(Resource):
    """The digest an image's tag stood for when it was looked up; protected, so that it moves on request only."""

    OUTPUTS = ("pinned", "digest")
    pinned: pulumi.Output[str]
    digest: pulumi.Output[str]


class ContainerImage(Resource):
    """What a server's container has to know of its image."""

    OUTPUTS = ("user", "data", "mount")
    user: pulumi.Output[str]
    data: pulumi.Output[str]
    mount: pulumi.Output[str]


class ContainerNetwork(Resource):
    """The network of a stack's containers."""

    OUTPUTS = ("networkId",)
    name: pulumi.Output[str]
    networkId: pulumi.Output[str]
