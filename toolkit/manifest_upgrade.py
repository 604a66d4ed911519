"""Converts older manifests to the current form.

Checks of schema 1 were sentences; this is the only module that parses them. Until schema 2 was complete, `network` held
facts of RT4KSR among those of every network, and `smallest` was beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from toolkit.checks import Check, CheckKind, Limits, Spent, Verdict


class _NamedCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    measured: float
    bound: float
    passed: bool

    def __post_init__(self) -> None:
        if self.passed != (self.measured <= self.bound):
            raise ValueError(f"{self.name}: {self.measured} with bound {self.bound} cannot be passed={self.passed}")


_STEP = re.compile(
    r"(?P<kind>fusion|stored weights|graph): (?P<subject>.*?)(?P<off>, share of values off by one)?"
    r"(?: \(at (?P<height>\d+)x(?P<width>\d+)\))?"
)
_LOWERED = re.compile(r"(?P<subject>fp16|bf16|int8) against float64, (?P<kind>largest error|mean error)")
_BUDGET = re.compile(
    r"budget on (?P<runtime>[\w-]+)(?:, (?:(?P<count>\d+) )?images?(?: of (?P<data>.+))?)?: (?P<part>[^:]+)"
)
_RT4KSR_DETAILS = ("channels", "blocks", "high_frequency", "high_frequency_reason")
"""Fields that a network had itself when RT4KSR was the only architecture."""

_PARTS = {
    "share of the mean gain spent": "mean",
    "worst image, share of the mean gain": "worst_image",
    "worst patch, grey levels from fp32": "worst_patch",
}
_TIME = re.compile(r"time on (?P<runtime>[\w-]+), (?P<height>\d+)x(?P<width>\d+)")


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """A decoded manifest of any known form in the current one, where it is returned as it is.

    Raises:
        msgspec.ValidationError: it has something in it that its schema did not have.
    """
    typed = _with_typed_checks(document) if document.get("schema") == 1 else document
    return _with_details(typed) if "smallest" in typed else typed


def _with_details(document: dict[str, Any]) -> dict[str, Any]:
    """With facts of RT4KSR apart from those of every network. Every older manifest is of an RT4KSR network."""
    network = msgspec.convert(document.get("network"), dict[str, Any])
    general = {name: value for name, value in network.items() if name not in _RT4KSR_DETAILS}
    details = {name: network[name] for name in _RT4KSR_DETAILS if name in network}
    general |= {
        "size_multiple": 2,
        "smallest": document["smallest"],
        "details": {"architecture": "rt4ksr", **details},
    }
    source = document.get("source")
    if isinstance(source, dict) and source.get("layout") == "rep_conv":
        source = {**source, "merged": True}  # the layout of merged weights was known by its name
    others = {name: value for name, value in document.items() if name not in ("network", "smallest")}
    return {**others, "network": general, "source": source}


def _with_typed_checks(document: dict[str, Any]) -> dict[str, Any]:
    named = msgspec.convert(document.get("checks"), tuple[_NamedCheck, ...])
    budgets = [(match, check) for check in named if (match := _BUDGET.fullmatch(check.name))]
    judged = {check for _, check in budgets}
    facts: dict[str, Any] = {
        "schema": 2,
        "checks": msgspec.to_builtins([_check(check) for check in named if check not in judged]),
        "verdicts": msgspec.to_builtins(_verdicts(budgets)),
    }
    conversion = document.get("conversion")
    if isinstance(conversion, dict):
        facts["conversion"] = {**conversion, "curve_cost": _curve_cost(conversion.get("curve_cost", ""))}
    return {**document, **facts}


def _check(check: _NamedCheck) -> Check:
    if match := _LOWERED.fullmatch(check.name):
        kind: CheckKind = "largest error" if match["kind"] == "largest error" else "mean error"
        return Check(kind, match["subject"], check.measured, check.bound, check.passed)
    if match := _STEP.fullmatch(check.name):
        kind = "values off by one" if match["off"] else msgspec.convert(match["kind"], CheckKind)
        # Schema 1 wrote the height first; people now read WIDTHxHEIGHT.
        detail = f"at {match['width']}x{match['height']}" if match["width"] else ""
        return Check(kind, match["subject"], check.measured, check.bound, check.passed, detail)
    raise msgspec.ValidationError(f"schema 1 has no check named {check.name!r}")


def _verdicts(budgets: Iterable[tuple[re.Match[str], _NamedCheck]]) -> Sequence[Verdict]:
    """The three checks of a runtime and its images are one verdict."""
    groups: dict[tuple[str, str, int], dict[str, _NamedCheck]] = {}
    for match, check in budgets:
        if match["part"] not in _PARTS:
            raise msgspec.ValidationError(f"schema 1 has no check named {check.name!r}")
        # `images of the toolkit` did not say how many.
        key = match["runtime"], match["data"] or "", int(match["count"] or 0)
        groups.setdefault(key, {})[_PARTS[match["part"]]] = check
    verdicts = []
    for (runtime, data, images), parts in groups.items():
        if missing := [name for name, part in _PARTS.items() if part not in parts]:
            raise msgspec.ValidationError(f"the verdict on {runtime} lacks {missing[0]!r}")
        spent = Spent(**{part: check.measured for part, check in parts.items()})
        allowed = Limits(**{part: check.bound for part, check in parts.items()})
        verdicts.append(Verdict.of(runtime, data, images, spent, allowed))
    return verdicts


def _curve_cost(text: object) -> dict[str, Any] | None:
    if text == "":
        return None
    if text == "multiply-adds":
        return {"kind": "multiply-adds"}
    if isinstance(text, str) and (match := _TIME.fullmatch(text)):
        shape = [int(match["height"]), int(match["width"])]
        return {"kind": "time", "runtime": match["runtime"], "shape": shape}
    raise msgspec.ValidationError(f"schema 1 has no cost of a curve {text!r}")
