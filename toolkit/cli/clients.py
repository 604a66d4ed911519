"""Options of commands that check new artifacts with programs of others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from toolkit.cli.attempts import Attempts
from toolkit.cli.console import styled, verdict
from toolkit.errors import CheckFailed
from toolkit.system.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.artifact import Artifact


@Parameter(name="*", group=Group("Clients", sort_key=4))
@dataclass(frozen=True, kw_only=True)
class ClientChecks:
    """Which programs of others must compute the same from the artifacts."""

    client: Annotated[
        str | None,
        Parameter(
            help="Comma-separated programs to check the artifacts with, as they are installed here and with their "
            "defaults: onnxruntime, openvino, opencv, ncnn. The manifest keeps the error measured. If one fails, the "
            "artifacts are still written; the exit code is then 1."
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.client is not None:
            from toolkit.deployment.clients.client import find_clients

            find_clients(self.client)  # checked before any work

    def checked(self, artifacts: list[Artifact], progress: ProgressCallback, attempts: Attempts) -> list[Artifact]:
        """The same artifacts, the fp32 one first, with checks of the clients in their manifests."""
        if self.client is None:
            return artifacts
        from toolkit.deployment.clients.client import check_with_client, find_clients, record_clients

        checked = []
        for artifact in artifacts:
            found = []
            for name in find_clients(self.client):
                progress(Progress(f"{artifact.manifest.name}: {name}"))
                run = partial(check_with_client, artifact, name, artifacts[0])
                found.append(attempts.attempt(f"{artifact.manifest.name} in {name}", run))
            checked.append(record_clients(artifact, [check for check in found if check is not None]))
        return checked

    def describe(self, artifacts: list[Artifact], console: Console, attempts: Attempts) -> None:
        """Print what the clients computed, and count checks that did not pass as failures."""
        checks = [(item.manifest.name, check) for item in artifacts for check in item.manifest.checks]
        for name, check in checks if self.client is not None else ():
            if check.kind != "client":
                continue
            measured = f"error {check.measured:.1e} of white (bound {check.bound:.1e})"
            console.print(
                styled("{} in {}: {} {}", name, check.subject, measured, verdict(check.passed)), soft_wrap=True
            )
            if not check.passed:
                levels = f"{check.measured * 255:.1f} grey levels"
                attempts.fail(f"{name} in {check.subject}", CheckFailed(f"the error is {levels}", check.detail))
