"""The web service: a page, and the same as JSON."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paravec_client import AsyncEmbeddingClient, ClientConfig, InvalidArgumentError, ParavecError

from .index import Index
from .words import WORDS

HERE = Path(__file__).parent

LONGEST = 500
"""Characters of a question."""

SHOWN, MOST = 5, 50
"""Entries that an answer has at most, unless it is asked for more; and how many can be asked for."""

# Nothing but what comes from here, nothing inline, and no frame around it.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guarded:
    """Puts the headers of safety on every answer, and keeps questions and what is near to them out of caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


class Pages:
    """What is answered to which address."""

    def __init__(self, index: Index) -> None:
        self._index = index
        loader = FileSystemLoader(HERE / "templates")
        self._templates = Jinja2Templates(env=Environment(loader=loader, autoescape=True, trim_blocks=True))

    def routes(self) -> list[Route | Mount]:
        """All of them."""
        return [
            Route("/", self.page),
            Route("/api/ask", self.ask),
            Route("/healthz", self.alive),
            Route("/readyz", self.ready),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    async def page(self, request: Request) -> Response:
        """The page; with ?q= the answer to a question on it."""
        faq, question = self._index.faq, request.query_params.get("q", "").strip()
        words = WORDS[faq.language]
        status, facts = 200, dict[str, Any]()
        if question:
            status, facts = await self._answer(question, SHOWN)
        said = _said(words, facts) if question else ""
        context = {"faq": faq, "question": question, "words": words, "longest": LONGEST, "said": said, **facts}
        return self._templates.TemplateResponse(request, "page.html", context, status_code=status)

    async def ask(self, request: Request) -> Response:
        """?q=question, and ?top= entries at most."""
        question, top = request.query_params.get("q", "").strip(), request.query_params.get("top", str(SHOWN))
        if not question:
            return JSONResponse({"error": "missing", "message": WORDS["en"]["missing"]}, 400)
        if not top.isascii() or not top.isdigit() or not 1 <= int(top[:4]) <= MOST:
            return JSONResponse({"error": "top", "message": f"top must be 1 to {MOST}"}, 400)
        status, facts = await self._answer(question, int(top))
        if "error" in facts:
            return JSONResponse({"error": facts["error"], "message": WORDS["en"][facts["error"]]}, status)
        entries = [asdict(found.entry) | {"score": round(found.score, 4)} for found in facts["found"]]
        told = {"understood": facts["understood"], "entries": entries, "model": asdict(facts["model"])}
        return JSONResponse(told)

    async def _answer(self, question: str, most: int) -> tuple[int, dict[str, Any]]:
        """The HTTP status, and what is to be told: an Answer's fields, or the error's name among the words."""
        if len(question) > LONGEST:
            return 400, {"error": "long"}
        try:
            answer = await self._index.search(question, most)
        except InvalidArgumentError:
            return 400, {"error": "odd"}
        except ParavecError:
            return 503, {"error": "away"}
        return 200, vars(answer)

    async def alive(self, _: Request) -> Response:
        """The process is well; whether paravec is, is not asked."""
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        """Whether there is something to answer questions from."""
        try:
            await self._index.ready()
        except ParavecError as error:
            return PlainTextResponse(f"paravec: {error}\n", 503)
        return PlainTextResponse("ready\n")


def _said(words: dict[str, str], facts: dict[str, Any]) -> str:
    """What came of a question, in a sentence: it is shown, and read out to who does not see the page."""
    if "error" in facts:
        return words[facts["error"]]
    if not facts["understood"]:
        return words["unknown"]
    count = len(facts["found"])
    return words["several"].format(count) if count > 1 else words["one" if count else "none"]


def build(config: ClientConfig, file: Path, threshold: float) -> Starlette:
    """The application; FaqError or ConfigError if it cannot be."""
    client = AsyncEmbeddingClient(config=config)
    index = Index(client, file, threshold)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        preparing = asyncio.create_task(index.prepare())
        yield
        preparing.cancel()
        await client.close()

    app = Starlette(routes=Pages(index).routes(), lifespan=lifespan, exception_handlers={404: _nothing})
    app.add_middleware(Guarded)
    return app


async def _nothing(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return PlainTextResponse("there is nothing here; the page is at /\n", 404)
