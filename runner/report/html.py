"""The report: one HTML file that opens anywhere, offline, and is made from the run folder alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from runner.errors import StorageError
from runner.report import assets
from runner.report.limits import LEVELS, MAX_BYTES
from runner.report.view import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.results.document.run import RunDocument
    from runner.results.store import RunFolder
    from runner.results.trial import TrialFile


def render(document: RunDocument, trials: Sequence[TrialFile], manifests: Mapping[str, str]) -> str:
    """The page as HTML.

    Args:
        document: the run.
        trials: the trials' files, in any order; may be incomplete, as after a crash.
        manifests: what was applied, by `ManifestRecord.file`.

    Returns:
        The page, under one megabyte: when it would be bigger, the longest lists are cut, and say so.

    Raises:
        OutsideError: uPlot is not installed.
    """
    text = ""
    for limits in LEVELS:
        text = (
            assets.environment()
            .get_template("page.html")
            .render(
                page=page(document, trials, manifests, limits),
                style=assets.own("report.css"),
                script=assets.own("report.js"),
                uplot_style=assets.uplot("uPlot.min.css"),
                uplot_script=assets.uplot("uPlot.iife.js"),
            )
        )
        if len(text.encode()) <= MAX_BYTES:
            break
    return text


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` into a run folder, whole or not at all.

    Trials and manifests that are damaged or missing are left out, and the page says so.

    Raises:
        InputError: `run.json` is missing or broken.
        StorageError: the page can't be written.
        OutsideError: uPlot is not installed.
    """
    document = folder.document()
    trials, damaged = _trials(folder)
    texts = _texts(folder, document)
    if damaged:
        document = document.model_copy(update={"warnings": [*document.warnings, *damaged]})
    return folder.write_report(render(document, trials, texts))


def _trials(folder: RunFolder) -> tuple[list[TrialFile], list[str]]:
    trials, damaged = [], []
    for name in folder.trial_files():
        try:
            trials.append(folder.trial(name))
        except StorageError as error:
            damaged.append(f"Charts and logs lack one trial: {error}")
    return trials, damaged


def _texts(folder: RunFolder, document: RunDocument) -> dict[str, str]:
    texts: dict[str, str] = {}
    listed = [manifest for variant in document.variants for manifest in variant.manifests]
    listed += [manifest for variant in document.variants if variant.phases for manifest in variant.phases.manifests]
    for file in {manifest.file for manifest in listed}:
        with contextlib.suppress(StorageError):
            texts[file] = folder.manifest_text(file)
    return texts
