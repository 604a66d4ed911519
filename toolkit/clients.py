"""Which programs of others take an artifact, by its precision: what `validation/clients/table.py` has measured."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from toolkit.precisions import Precision


@cache
def measured_clients() -> dict[str, dict[str, bool]]:
    """Whether each client takes the toolkit's own x2 network, by precision and name of the client.

    The dynamic graph with float32 ends, at a size that the network takes as it is; `docs/clients.md` has the errors.
    """
    return msgspec.json.decode((files("toolkit") / "clients.json").read_bytes(), type=dict[str, dict[str, bool]])


def client_support(precision: Precision) -> str:
    """In words, for people: who takes a precision, and who does not."""
    clients = measured_clients()[precision]
    takes = " · ".join(name for name, works in clients.items() if works)
    refused = " · ".join(name for name, works in clients.items() if not works)
    return f"{takes}; not by {refused}" if refused else takes
