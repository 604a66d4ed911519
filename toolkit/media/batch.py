"""The files of one run: which of them are done already, which outputs exist, and the report of each."""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec

from toolkit.errors import OutputExists
from toolkit.media.failure import Failure, not_done
from toolkit.media.item import Item
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.record import Record
from toolkit.media.report import FileReport


@dataclass(frozen=True)
class Batch:
    """Files to upscale with the same options.

    Attributes:
        items: inputs and outputs.
        options: of all.
        networks: by scale.
        record: files that earlier runs of the same command have finished.
        single: whether the user named a single file, whose error is raised instead of reported.
    """

    items: list[Item]
    options: UpscaleOptions
    networks: Networks
    record: Record
    single: bool

    def earlier(self, item: Item) -> FileReport | None:
        """The report of a file that an earlier run has finished; None for a file that is to be upscaled.

        Raises:
            OutputExists: its output exists, and this command is not known to have written it.
        """
        if self.options.resume and self.record.holds(item):
            weights = self.record.weights(item)
            return FileReport(str(item.source), str(item.output), item.kind, "done", weights=weights, earlier=True)
        require_free(item, self.options)
        return None

    def report(self, item: Item, outcome: FileReport | Failure) -> FileReport:
        """The report of a file; finished ones are added to the record."""
        report = reported(item, outcome, self.networks, single=self.single)
        if report.outcome == "done" and not report.earlier:
            self.record.add(item, report.weights)
        return report


def require_free(item: Item, options: UpscaleOptions) -> None:
    """Refuse an existing output before any work.

    Raises:
        OutputExists: the output exists, and is not to be overwritten.
    """
    if not options.overwrite and os.path.lexists(item.output):
        raise OutputExists(f"{item.output} exists, so {item.source} was not upscaled")


def reported(item: Item, outcome: FileReport | Failure, networks: Networks, *, single: bool) -> FileReport:
    """The report of a file, with the weights that it was upscaled with; the error of a single file is raised."""
    if not isinstance(outcome, Failure):
        if not outcome.scale:
            return outcome
        return msgspec.structs.replace(outcome, weights=networks.of(item).choice(outcome.scale))
    if single:
        outcome.reraise()
    return not_done(item, outcome)
