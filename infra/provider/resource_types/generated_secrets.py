"""GeneratedSecrets: every secret that is generated for a stack, in one protected resource."""

from __future__ import annotations

import uuid
from pathlib import Path

from infra.changes import Change
from infra.errors import SettingsError
from infra.provider.handler import Converged, Handler, Operation, Property, Values
from infra.pulumi_marks import UNKNOWN


class GeneratedSecrets(Handler):
    """Secrets generated once. They are kept exactly as long as the data they protect, so the resource is protected."""

    token = "circlepay:index:GeneratedSecrets"
    inputs = {
        "names": Property("array", "Names of the secrets; a secret is generated when its name is first listed."),
        "envFile": Property("string", "Path of the env file made from them; it is deleted with them."),
        "suppliedSecretsFile": Property("string", "File of the secrets that only their owner has; checked first."),
        "production": Property("boolean", "Whether missing and weak supplied secrets are refused."),
    }
    outputs = {
        "values": Property("object", "Secret by name.", secret=True),
        "secretsId": Property("string", "Random id of this set of secrets; the servers' data records it."),
    }
    stable = frozenset({"secretsId"})

    def check(self, inputs: Values) -> dict[str, str]:
        """As the first resource of a stack it reports wrong supplied secrets before anything is created."""
        from infra.credentials.supplied import read_supplied

        if inputs["suppliedSecretsFile"] in ("", UNKNOWN):
            return {}
        try:
            read_supplied(Path(inputs["suppliedSecretsFile"]), production=inputs["production"])
        except SettingsError as error:
            return {"suppliedSecretsFile": error.message}
        return {}

    def identity(self, inputs: Values) -> str:
        return "generated-secrets"

    def _missing(self, inputs: Values, state: Values | None) -> list[str]:
        known = (state or {}).get("values", {})
        return [name for name in inputs["names"] if name not in known]

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        return [
            Change(f"secret {name}", "create", "has not been generated for this stack")
            for name in self._missing(inputs, state)
        ]

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.credentials.generated import generate

        changes = self.plan(inputs, state, operation)
        values = {**(state or {}).get("values", {}), **generate(self._missing(inputs, state))}
        return Converged({"values": values, "secretsId": (state or {}).get("secretsId") or uuid.uuid4().hex}, changes)

    def delete(self, state: Values, operation: Operation) -> None:
        from infra.env_file.writing import remove

        remove(Path(state["envFile"]))

    def imported(self, name: str) -> tuple[Values, Values]:
        """After the state was lost. name: `<env file>`, or `<env file>:<location of the data>` if not the default."""
        from infra.credentials.recovery import recover

        env_file, _, location = name.partition(":")
        recovered = recover(Path(env_file), location)
        return (
            {
                "names": list(recovered.values),
                "envFile": env_file,
                "suppliedSecretsFile": "",
                "production": False,
            },
            {"values": recovered.values, "secretsId": recovered.secrets_id},
        )
