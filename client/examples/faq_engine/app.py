"""The web service: the page, and the same search as JSON."""

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
from .translations import TRANSLATIONS

HERE = Path(__file__).parent

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

    def __init__(self, index: Index) -> None:
        self._index = index
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
        faq, question = self._index.faq, request.query_params.get("q", "").strip()
        translation = TRANSLATIONS[faq.language]
        status, result = 200, dict[str, Any]()
        if question:
            status, result = await self._answer(question, DEFAULT_MATCHES)
        context = {
            "faq": faq,
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
        entries = [asdict(match.entry) | {"score": round(match.score, 4)} for match in result["matches"]]
        return JSONResponse({"understood": result["understood"], "entries": entries, "model": asdict(result["model"])})

    async def _answer(self, question: str, limit: int) -> tuple[int, dict[str, Any]]:
        """The HTTP status, with the fields of an Answer or {"error": key of TRANSLATIONS}."""
        if len(question) > MAX_QUESTION_CHARACTERS:
            return 400, {"error": "too_long"}
        try:
            answer = await self._index.search(question, limit)
        except InvalidArgumentError:
            return 400, {"error": "invalid"}
        except ParavecError:
            return 503, {"error": "unavailable"}
        return 200, vars(answer)

    async def alive(self, _: Request) -> Response:
        """Liveness of this process, independent of the paravec server."""
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        """Readiness: whether the entries are embedded."""
        try:
            await self._index.ready()
        except ParavecError as error:
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


def build(config: ClientConfig, file: Path, threshold: float) -> Starlette:
    """The application; FaqError if the file, ConfigError if the client's configuration is wrong."""
    client = AsyncEmbeddingClient(config=config)
    index = Index(client, file, threshold)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        preparing = asyncio.create_task(index.prepare())
        yield
        preparing.cancel()
        await client.close()

    app = Starlette(routes=Pages(index).routes(), lifespan=lifespan, exception_handlers={404: _not_found})
    app.add_middleware(SecurityHeaders)
    return app


async def _not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return PlainTextResponse("not found; the page is at /\n", 404)
