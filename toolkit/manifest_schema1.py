"""Older manifests in terms of the current one: schema 1, whose checks were sentences, and networks without `details`.

This is the only place that parses the names of checks.
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
    """The same manifest in schema 2.

    Args:
        document: a decoded manifest of schema 1.

    Raises:
        msgspec.ValidationError: it has something in it that schema 1 did not have.
    """
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


def with_details(document: dict[str, Any]) -> dict[str, Any]:
    """The same manifest, with facts that only RT4KSR networks have in `network.details`.

    Args:
        document: a decoded manifest. Where it has `details`, or is malformed, it is returned as it is.
    """
    network, source = document.get("network"), document.get("source")
    if not isinstance(network, dict) or not isinstance(source, dict) or network.keys().isdisjoint(_RT4KSR_DETAILS):
        return document
    details = {"architecture": "rt4ksr", **{name: network[name] for name in _RT4KSR_DETAILS if name in network}}
    common = {name: value for name, value in network.items() if name not in _RT4KSR_DETAILS}
    # The layout of merged weights was known by its name.
    merged = {"merged": True} if source.get("layout") == "rep_conv" else {}
    return {**document, "network": {**common, "details": details}, "source": {**source, **merged}}


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
