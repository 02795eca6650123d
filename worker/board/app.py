"""The board's server: one static page, JSON, stamps, and an event whenever something changed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.board.state import BoardState

STATIC = Path(str(files("worker"))) / "board" / "static"

TICK_S = 0.5
"""How often a connection looks for a change; events are no more frequent."""

PING_S = 15.0
RETRY_MS = 2000

HEADERS = {
    # Alerts come from strangers: nothing but our own files may run, be styled or be asked.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class SecureHeaders:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to the answer's start."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in HEADERS.items()
                      if k.encode() not in present),
                ]  # fmt: skip
            await send(message)

        await self._app(scope, receive, add)


class _Answers:
    """What each route answers, from a state that somebody else feeds."""

    def __init__(self, state: BoardState, is_over: Callable[[], bool]) -> None:
        self._state = state
        self._is_over = is_over

    async def page(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def alerts(self, request: Request) -> Response:
        return JSONResponse(self._state.night(request.query_params.get("night") or None))

    async def alert(self, request: Request) -> Response:
        found = self._state.detail(request.path_params["candid"])
        return JSONResponse(found) if found is not None else _missing("alert")

    async def cutout(self, request: Request) -> Response:
        found = self._state.stamp(request.path_params["candid"], request.path_params["kind"])
        if found is None:
            return _missing("stamp")
        return Response(found, media_type="application/octet-stream")

    async def health(self, _: Request) -> Response:
        problem = self._state.problem
        status = 200 if problem is None else 503
        return JSONResponse({"problem": problem}, status_code=status)

    async def events(self, request: Request) -> Response:
        seen = request.headers.get("last-event-id")
        return StreamingResponse(
            _events(self._state, seen, self._is_over),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )


def make_app(state: BoardState, is_over: Callable[[], bool]) -> Starlette:
    """The server over a state that somebody else feeds; `is_over`: it is being shut down."""
    answers = _Answers(state, is_over)
    return Starlette(
        routes=[
            Route("/", answers.page),
            Route("/api/alerts", answers.alerts),
            Route("/api/alerts/{candid:int}", answers.alert),
            Route("/cutout/{candid:int}/{kind}", answers.cutout),
            Route("/events", answers.events),
            Route("/healthz", answers.health),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecureHeaders)],
    )


async def _events(
    state: BoardState, seen: str | None, is_over: Callable[[], bool]
) -> AsyncIterator[str]:
    """The present version at once where it is new to the client, then every change."""
    yield f"retry: {RETRY_MS}\n\n"
    quiet_s = 0.0
    while not is_over():
        version = state.version
        if version != seen:
            seen, quiet_s = version, 0.0
            yield f"id: {version}\nevent: change\ndata: {json.dumps({'version': version})}\n\n"
        elif quiet_s >= PING_S:
            quiet_s = 0.0
            yield ": ping\n\n"
        await asyncio.sleep(TICK_S)
        quiet_s += TICK_S


def _missing(what: str) -> Response:
    return JSONResponse({"error": f"no such {what} here"}, status_code=404)
