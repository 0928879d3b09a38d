"""The pictures of the README: `python -m tests.screenshots` draws them anew from the demo, in a real browser.

The demo draws its images itself, so nobody's pictures are shown.
"""

from __future__ import annotations

import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from curation.demo.run import run_demo
from curation.stages.report import report
from curation.workspace import open_workspace
from tests.review_server import ROOT, ReviewServer

FOLDER = ROOT / "app" / "screenshots"
LARGEST_BYTES = 200_000
_SIZE = {"width": 1200, "height": 800}
_COLOURS = 160  # of a palette: a third of the bytes, and no eye sees it


def main() -> None:
    """Run the demo, serve its workspace, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        run_demo(Path(folder) / "demo")
        workspace = open_workspace(Path(folder) / "demo" / "workspace")
        noise_report = report(workspace, workspace.config()).path
        server = ReviewServer(workspace)
        server.start()
        try:
            _take_all(server, noise_report)
        finally:
            server.kill()


def _take_all(server: ReviewServer, noise_report: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=_SIZE, color_scheme="light")  # type: ignore[arg-type]
        page.goto(f"{noise_report.as_uri()}#sheets")
        _take(page, "report")
        page.goto(server.address)
        page.get_by_role("textbox", name="Your name").fill("Ada")
        page.get_by_role("button", name="Begin").click()
        expect(page.locator(".tile").first).to_be_focused(timeout=30_000)
        for key in ("e", "ArrowRight", "w", "ArrowRight", "n", "ArrowRight", "ArrowRight"):
            page.keyboard.press(key)
        expect(page.locator(".saving")).to_have_text("all saved")
        _take(page, "review")
        page.keyboard.press("v")
        expect(page.locator(".evidence .near img").first).to_be_visible(timeout=60_000)
        _take(page, "evidence")
        page.keyboard.press("Escape")
        page.emulate_media(color_scheme="dark")
        _take(page, "review-dark")
        browser.close()


def _take(page: Page, name: str) -> None:
    page.wait_for_timeout(1_000)  # for fonts and pictures
    with Image.open(BytesIO(page.screenshot())) as image:
        small = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.png"
    small.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes")
    if size > LARGEST_BYTES:
        raise SystemExit(f"{path} has {size:,} bytes, more than {LARGEST_BYTES:,}: make it smaller.")


if __name__ == "__main__":
    main()
