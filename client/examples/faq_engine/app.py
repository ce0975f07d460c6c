"""The web service: the page, and the same search as JSON."""

import asyncio
import logging
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

from .faq import by_category
from .search import NotIndexedError, Search
from .translations import TRANSLATIONS

HERE = Path(__file__).parent

_log = logging.getLogger(__name__)

MAX_QUESTION_CHARACTERS = 500

DEFAULT_MATCHES, MAX_MATCHES = 5, 50
"""The default and the largest value of ?top=."""

# Only resources of this site, nothing inline, no framing.
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


class SecurityHeaders:
    """Middleware: adds security headers to every response, and keeps questions and their answers out of caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class Pages:
    """The handlers of all routes."""

    def __init__(self, search: Search, title: str, language: str) -> None:
        self._search, self._title, self._language = search, title, language
        self._was_ready = False
        loader = FileSystemLoader(HERE / "templates")
        self._templates = Jinja2Templates(env=Environment(loader=loader, autoescape=True, trim_blocks=True))

    def routes(self) -> list[Route | Mount]:
        """Paths and their handlers."""
        return [
            Route("/", self.page),
            Route("/api/ask", self.ask),
            Route("/healthz", self.alive),
            Route("/readyz", self.ready),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    async def page(self, request: Request) -> Response:
        """The page; with ?q= it shows the answer to a question."""
        question, translation = request.query_params.get("q", "").strip(), TRANSLATIONS[self._language]
        status, result = 200, dict[str, Any]()
        if question:
            status, result = await self._answer(question, DEFAULT_MATCHES)
        context = {
            "faq": {"title": self._title, "language": self._language, "categories": by_category(self._search.entries)},
            "question": question,
            "text": translation,
            "max_question_characters": MAX_QUESTION_CHARACTERS,
            "summary": _summary(translation, result) if question else "",
            **result,
        }
        return self._templates.TemplateResponse(request, "page.html", context, status_code=status)

    async def ask(self, request: Request) -> Response:
        """The answer to ?q= as JSON, with at most ?top= entries."""
        question, top = request.query_params.get("q", "").strip(), request.query_params.get("top", str(DEFAULT_MATCHES))
        if not question:
            return JSONResponse({"error": "missing", "message": TRANSLATIONS["en"]["missing"]}, 400)
        if not top.isascii() or not top.isdigit() or not 1 <= int(top[:4]) <= MAX_MATCHES:
            return JSONResponse({"error": "top", "message": f"top must be 1 to {MAX_MATCHES}"}, 400)
        status, result = await self._answer(question, int(top))
        if "error" in result:
            return JSONResponse({"error": result["error"], "message": TRANSLATIONS["en"][result["error"]]}, status)
        entries = [asdict(match.entry) | {"percent": round(match.percent, 1)} for match in result["matches"]]
        return JSONResponse({"understood": result["understood"], "entries": entries})

    async def _answer(self, question: str, limit: int) -> tuple[int, dict[str, Any]]:
        """The HTTP status, with the fields of an Answer or {"error": key of TRANSLATIONS}."""
        if len(question) > MAX_QUESTION_CHARACTERS:
            return 400, {"error": "too_long"}
        try:
            answer = await self._search.search(question, limit)
        except InvalidArgumentError:
            return 400, {"error": "invalid"}
        except (ParavecError, NotIndexedError):
            return 503, {"error": "unavailable"}
        return 200, vars(answer)

    async def alive(self, _: Request) -> Response:
        """Liveness of this process, independent of the paravec server."""
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        """Readiness: whether the server found entries once. If it fails later, the page itself tells its readers."""
        try:
            if not self._was_ready:
                await self._search.ready()
                self._was_ready = True
        except (ParavecError, NotIndexedError) as error:
            return PlainTextResponse(f"paravec: {error}\n", 503)
        return PlainTextResponse("ready\n")


def _summary(translation: dict[str, str], result: dict[str, Any]) -> str:
    """The result in a sentence, which the page shows and screen readers announce."""
    if "error" in result:
        return translation[result["error"]]
    if not result["understood"]:
        return translation["unknown"]
    count = len(result["matches"])
    return translation["several"].format(count) if count > 1 else translation["one" if count else "none"]


def build(config: ClientConfig, file: Path, threshold: float, *, title: str, language: str) -> Starlette:
    """The application; FaqError if the file, ConfigError if the client's configuration is wrong."""
    client = AsyncEmbeddingClient(config=config)
    search = Search(client, file, threshold)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        asking = asyncio.create_task(_warn(search))
        yield
        asking.cancel()
        await client.close()

    app = Starlette(
        routes=Pages(search, title, language).routes(), lifespan=lifespan, exception_handlers={404: _not_found}
    )
    app.add_middleware(SecurityHeaders)
    return app


async def _warn(search: Search) -> None:
    """Log a warning if paravec cannot answer yet. The search itself logs that the entries are not indexed."""
    try:
        await search.ready()
    except ParavecError as error:
        _log.warning("paravec does not answer yet: %s", error)
    except NotIndexedError:
        pass


async def _not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return PlainTextResponse("not found; the page is at /\n", 404)
