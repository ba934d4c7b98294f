"""A provider on the same SDK that echoes its inputs and reads its state back."""

import sys

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.server import main


class DoNothing(sdk.Provider):
    """Every resource exists, nothing differs."""

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        return sdk.DiffResponse(changes=False)

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        return sdk.CreateResponse(request.name, request.properties)

    async def delete(self, request: sdk.DeleteRequest) -> None:
        return None


main(sys.argv[1:], "0.1.0", DoNothing())
