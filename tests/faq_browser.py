"""What a person does on the page of the example faq_engine, in a real Chromium and by keyboard alone.

Run by a Python that has playwright, with a mode and the page's address. `visit ADDRESS QUESTION FOLDER` asks, reads
and goes back, at each width and with scripts or not, and leaves screenshots in the folder; `ask ADDRESS QUESTION` only
tells what the page says of a question. Both print a line of JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = {"phone": (390, 844), "desktop": (1280, 800)}

# The smallest contrast of a text with what is behind it, by https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = numbers(color).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if ((numbers(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return Math.min(...[...document.body.querySelectorAll("*")].filter(own).map((element) => {
    const [low, high] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }));
}"""

FITS = """() => document.documentElement.scrollWidth <= innerWidth &&
  [...document.querySelectorAll("button, input, summary")].every((e) => e.getBoundingClientRect().height >= 44)"""


def main() -> None:
    """Run the mode that the first argument names."""
    mode, address, question, *folder = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        if mode == "ask":
            print(json.dumps([ask(browser, address, question, scripts) for scripts in (True, False)]))
        else:
            print(json.dumps(visits(browser, address, question, Path(folder[0]))))
        browser.close()


def ask(browser: Browser, address: str, question: str, scripts: bool) -> str:
    """The page's status line after a question."""
    page = browser.new_context(java_script_enabled=scripts).new_page()
    page.goto(address)
    put(page, question)
    return str(page.locator("#status").inner_text())


def put(page: Page, question: str) -> None:
    """Type and press Enter, for the field has the focus from the start; returns once an answer is there."""
    page.keyboard.type(question)
    with page.expect_response(lambda response: "?q=" in response.url):
        page.keyboard.press("Enter")
    page.locator("#results:not([aria-busy])").wait_for(state="attached")
    page.locator("#status:not(:empty)").wait_for()
    # Without scripts it is another page, whose style sheet may come later.
    page.wait_for_load_state()


def visits(browser: Browser, address: str, question: str, folder: Path) -> dict[str, Any]:
    """A visit at each width with scripts, in the dark too, and without."""
    seen: dict[str, Any] = {}
    for name, (width, height) in WIDTHS.items():
        for way in ("with scripts", "in the dark", "no scripts"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                java_script_enabled=way != "no scripts",
                color_scheme="dark" if way == "in the dark" else "light",
                has_touch=name == "phone",
            )
            picture = folder / f"{name} {way}.png"
            seen[f"{name}, {way}"] = visit(context.new_page(), address, question, picture)
            context.close()
    return seen


def visit(page: Page, address: str, question: str, picture: Path) -> dict[str, Any]:
    """Ask, read the first answer, open the second, go back."""
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    loads: list[str] = []
    page.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
    page.goto(address)
    all_questions = page.locator("#results details").count()
    put(page, question)
    first = page.locator("#results details").nth(0)
    facts = {
        "first": first.locator(".question").inner_text(),
        "answer": first.inner_text(),
        "title": page.title(),
        "field": page.get_by_role("searchbox").input_value(),
        "label": page.locator("label[for=q]").inner_text(),
        "language": page.locator("html").get_attribute("lang"),
        "said": page.get_by_role("status").inner_text(),
        "fits": page.evaluate(FITS),
        "contrast": page.evaluate(CONTRAST),
        "loads": len(loads),
    }
    page.screenshot(path=picture)
    second = reached(page, 1)
    page.keyboard.press("Enter")
    facts["open"] = [one.get_attribute("open") is not None for one in (first, second)]
    page.go_back()
    page.wait_for_function(
        "number => document.querySelectorAll('#results details').length === number", arg=all_questions
    )
    return facts | {"back": page.get_by_role("searchbox").input_value(), "problems": problems}


def reached(page: Page, number: int) -> Any:
    """The entry of that number, once Tab has brought the focus to it."""
    entry = page.locator("#results details").nth(number)
    for _ in range(40):
        page.keyboard.press("Tab")
        if entry.locator("summary:focus").count():
            return entry
    raise SystemExit(f"of {page.locator('#results details').count()} entries number {number} gets no focus by Tab")


if __name__ == "__main__":
    main()
