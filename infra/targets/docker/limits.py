"""What a container may use, as the engine names it and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What a container may use; 0 is no limit. memory: bytes, swap included. nano_cpus: billionths of a processor."""

    memory: int = 0
    nano_cpus: int = 0
    pids: int = 0

    @classmethod
    def of(cls, declared: Mapping[str, int]) -> Limits:
        """A location's limits: memory, nanoCpus and pids."""
        return cls(declared.get("memory", 0), declared.get("nanoCpus", 0), declared.get("pids", 0))

    @classmethod
    def observed(cls, host: Mapping[str, Any]) -> Limits:
        """Those of a container, by its HostConfig: the engine says "none" as null, 0 or -1."""
        return cls(host.get("Memory") or 0, host.get("NanoCpus") or 0, max(host.get("PidsLimit") or 0, 0))

    @property
    def update(self) -> dict[str, int]:
        """As the engine names them: https://docs.docker.com/reference/api/engine/ `ContainerUpdate`; -1 takes a limit away."""
        return {
            "Memory": self.memory,
            "MemorySwap": self.memory or -1,
            "NanoCpus": self.nano_cpus,
            "PidsLimit": self.pids or -1,
        }

    def __str__(self) -> str:
        parts = [
            f"memory {self.memory // MEBIBYTE} MiB" if self.memory else "memory without a limit",
            f"{self.nano_cpus / 1e9:g} processors" if self.nano_cpus else "every processor",
            f"{self.pids} processes" if self.pids else "processes without a limit",
        ]
        return ", ".join(parts)
