"""What a container may use, as the engine names it and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEBIBYTE = 1024 * 1024
USUAL_SHARES = 1024
"""Of a container that has been given none: https://docs.docker.com/engine/containers/resource_constraints/."""


@dataclass(frozen=True)
class Limits:
    """What a container may use; 0 is no limit. memory: bytes, swap included. nano_cpus: billionths of a processor.

    processors: those it is confined to, as `0-1,3`; empty: none is left out. shares: its weight among others.
    """

    memory: int = 0
    nano_cpus: int = 0
    pids: int = 0
    processors: str = ""
    shares: int = USUAL_SHARES

    @classmethod
    def of(cls, declared: Mapping[str, int]) -> Limits:
        """A location's limits: memory, nanoCpus and pids."""
        return cls(declared.get("memory", 0), declared.get("nanoCpus", 0), declared.get("pids", 0))

    @classmethod
    def observed(cls, host: Mapping[str, Any], processors: int) -> Limits:
        """Those of a container, by its HostConfig: the engine says "none" as null, 0 or -1. processors: that it has itself."""
        confined = str(host.get("CpusetCpus") or "")
        return cls(
            host.get("Memory") or 0,
            host.get("NanoCpus") or 0,
            max(host.get("PidsLimit") or 0, 0),
            "" if confined == every(processors) else confined,
            host.get("CpuShares") or USUAL_SHARES,
        )

    def update(self, observed: Limits, processors: int) -> dict[str, int | str]:
        """As the engine names them: https://docs.docker.com/reference/api/engine/ `ContainerUpdate`; -1 takes a limit away.

        What is not limited here is only named where it was limited by hand: an engine may lack that kind of limit.
        """
        freed = {"CpusetCpus": every(processors)} if observed.processors else {}
        usual = {"CpuShares": USUAL_SHARES} if observed.shares != USUAL_SHARES else {}
        return {
            "Memory": self.memory,
            "MemorySwap": self.memory or -1,
            "NanoCpus": self.nano_cpus,
            "PidsLimit": self.pids or -1,
            **freed,
            **usual,
        }

    def __str__(self) -> str:
        parts = [
            f"memory {self.memory // MEBIBYTE} MiB" if self.memory else "memory without a limit",
            f"{self.nano_cpus / 1e9:g} processors" if self.nano_cpus else "every processor",
            f"{self.pids} processes" if self.pids else "processes without a limit",
        ]
        parts += [f"only processors {self.processors}"] if self.processors else []
        parts += [f"{self.shares} shares of processor time"] if self.shares != USUAL_SHARES else []
        return ", ".join(parts)


def every(processors: int) -> str:
    """All of an engine's processors; an update to none would mean «as it was»."""
    return f"0-{processors - 1}" if processors > 1 else "0"
