"""EnvFile: the application's env file, replaced only after the publish gate."""

from __future__ import annotations

from pathlib import Path

from infra.changes import Change
from infra.env_file.gate import SECRET_KEYS
from infra.errors import PublishError, SettingsError
from infra.provider.handler import CONNECTION_SECRETS, Converged, Handler, Observed, Operation, Property, Values
from infra.provider.values import has_unknown


class EnvFile(Handler):
    """Written atomically, mode 0600, after every credential in it has authenticated. Deleting the resource keeps the file."""

    token = "circlepay:index:EnvFile"
    inputs = {
        "path": Property("string", "Path of the file.", replaces=True),
        "stack": Property("string", "Name of the stack; the header names it."),
        "values": Property("object", "Value by name.", secret_members=SECRET_KEYS),
        "extra": Property("object", "Keys of the stack's own -> value.", secret=True),
        "suppliedSecretsFile": Property("string", "File with the supplied secrets; empty: they are among the values."),
        "connection": Property(
            "object", "The superuser's login, for applied migrations.", secret_members=CONNECTION_SECRETS
        ),
        "migrations": Property("array", "Declared migrations: version, name, sha256."),
        "verificationFailed": Property("integer", "Failed checks of the verification; the gate requires 0."),
        "upstream": Property("array", "Revisions of everything the file describes."),
    }
    outputs = {"sha256": Property("string", "Digest of the published file.")}

    def identity(self, inputs: Values) -> str:
        return str(inputs["path"])

    def _text(self, values: Values) -> str:
        from infra.credentials.supplied import read_supplied
        from infra.env_file.encoding import encode

        supplied = read_supplied(Path(values["suppliedSecretsFile"])) if values["suppliedSecretsFile"] else {}
        return encode({**values["values"], **supplied}, values["stack"], values.get("extra"))

    def plan(self, inputs: Values, state: Values | None, operation: Operation) -> list[Change]:
        from infra.env_file.writing import plan_publish

        if has_unknown([inputs["values"]]):
            return [Change(f"env file {inputs['path']}", "write", "its values are known once the servers run")]
        return plan_publish(Path(inputs["path"]), self._text(inputs))

    def converge(self, inputs: Values, state: Values | None, operation: Operation) -> Converged:
        from infra.env_file import gate as publish_gate
        from infra.env_file.writing import digest, plan_publish, publish
        from infra.provider.sessions import login_of

        text, path = self._text(inputs), Path(inputs["path"])
        changes = plan_publish(path, text)
        publish_gate.check(
            text,
            declared_migrations=inputs["migrations"],
            superuser=login_of(inputs["connection"]),
            verification_failed=inputs["verificationFailed"],
            via=inputs["connection"].get("via", ""),
            extra=inputs.get("extra"),
        )
        if changes:
            publish(path, text)
        return Converged({"sha256": digest(text)}, changes)

    def observe(self, state: Values, operation: Operation) -> Observed:
        try:
            return Observed(drift=self.plan(state, state, operation))
        except (PublishError, SettingsError) as error:
            # Raising here would stop the `up` that should resolve it; the gate raises the same error.
            operation.warn(error.message)
            return Observed()
