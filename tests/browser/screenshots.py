"""Pictures of a report for the README and for a look at it: python -m tests.browser.screenshots RUN_DIR/report.html docs/images."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.browser import OpenReport, chromium

WIDE, NARROW = {"width": 1280, "height": 1240}, {"width": 390, "height": 844}


def main(report: Path, folder: Path) -> None:
    """Write report-light.png, report-dark.png, report-samples.png and report-narrow.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for scheme in ("light", "dark"):
            shown = OpenReport(browser, report, viewport=WIDE, color_scheme=scheme)
            shown.page.screenshot(path=folder / f"report-{scheme}.png")
            if scheme == "light":
                shown.page.locator("#disagree").click()
                shown.page.set_viewport_size({"width": 1280, "height": 900})
                shown.page.locator("#list").focus()
                shown.page.locator("#samples").screenshot(path=folder / "report-samples.png")
            shown.close()
        shown = OpenReport(browser, report, viewport=NARROW, device_scale_factor=2)
        shown.page.screenshot(path=folder / "report-narrow.png")
        shown.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
