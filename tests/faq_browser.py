"""What a person does on the page of the example faq_engine, in a real Chromium and by keyboard alone.

Run by a Python that has playwright. Arguments: the page's address, a question, a word of its answer, and a folder for
screenshots. Prints a line of JSON: what was seen at each width.
"""

import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = {"phone": (390, 844), "desktop": (1280, 800)}


def main() -> None:
    """All widths, with scripts and without."""
    address, question, answer, folder = sys.argv[1:]
    seen: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, (width, height) in WIDTHS.items():
            for scripts in (True, False):
                seen[f"{name}, {'with' if scripts else 'no'} scripts"] = visit(
                    browser, {"width": width, "height": height}, scripts, address, question, answer,
                    Path(folder) / f"{name}.png" if scripts else None,
                )  # fmt: skip
        browser.close()
    print(json.dumps(seen))


def visit(
    browser: Browser, size: Any, scripts: bool, address: str, question: str, answer: str, picture: Path | None
) -> dict[str, Any]:
    """Ask, read the first answer, open the second, go back."""
    context = browser.new_context(viewport=size, java_script_enabled=scripts, color_scheme="light")
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    loads: list[str] = []
    page.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
    page.goto(address)
    # The field has the focus from the start; a label names it.
    page.keyboard.type(question)
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=2).filter(has_text="Best answers").wait_for()
    first = page.locator("#results details").nth(0)
    first_open = first.get_attribute("open") is not None
    if picture:
        page.wait_for_timeout(200)
        page.screenshot(path=picture)
    second = focus(page, 1)
    page.keyboard.press("Enter")
    opened = second.get_attribute("open") is not None
    facts = {
        "first": first.locator(".question").inner_text(),
        "answered": answer in first.inner_text(),
        "open": [first_open, opened],
        "title": page.title(),
        "label": page.get_by_label("Your question").input_value(),
        "fits": fits(page) if scripts else True,
        "loads": len(loads),
    }
    page.go_back()
    page.get_by_role("heading", level=2).filter(has_text="All questions").wait_for()
    context.close()
    return facts | {"problems": problems}


def focus(page: Page, number: int) -> Any:
    """Press Tab until the entry of that number has the focus, and return it."""
    target = page.locator("#results details").nth(number)
    for _ in range(40):
        page.keyboard.press("Tab")
        if target.locator("summary:focus").count():
            return target
    raise SystemExit("no entry gets the focus by Tab")


def fits(page: Page) -> bool:
    """Nothing is wider than the window, and what is pressed is large enough for a finger."""
    return bool(
        page.evaluate(
            "document.documentElement.scrollWidth <= innerWidth &&"
            " [...document.querySelectorAll('button, input, summary')]"
            ".every(element => element.getBoundingClientRect().height >= 44)"
        )
    )


if __name__ == "__main__":
    main()
