"""What Pulumi writes in place of a property's value, on the wire and in its state.

Pulumi's `sdk/go/common/resource/plugin/rpc.go` and `sdk/go/common/resource/sig`.
"""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""A value that only the coming run will produce."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The member that makes an object stand for something else than itself."""

SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - says that something is secret
"""The signature of a secret; its member `value` is what is secret."""
