"""The model's HTTP face: `/v1/chat/completions`, `/v1/models`, and `/sim/requests` to look behind the scenes."""

import asyncio
import json
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.sandbox.bodies import read_body
from deploy.sandbox.model.assistant import Answer, answer
from deploy.sandbox.model.completions import ChunkWriter, text_pieces, whole_completion
from deploy.sandbox.model.directives import Pacing
from deploy.sandbox.model.errors import BadModelRequestError, openai_error
from deploy.sandbox.model.request_log import RequestLog
from deploy.sandbox.model.requests import read_chat_request

_MODELS = ("sandbox-small", "sandbox-large")
_MODELS_MADE = 1_767_225_600  # 2026-01-01, in Unix seconds: the list is the same each time.
_FAILURE = openai_error("The sandbox was told to fail.", 500, None, "simulated")
_COMMENT_EACH_S = 0.25
_MAX_BODY = 32 * 2**20
_SIMULATED = {"X-Simulator": "model-sim"}
_STREAM_HEADERS = {**_SIMULATED, "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


def make_model_app() -> web.Application:
    """Wire the model stand-in."""
    app = web.Application(middlewares=[_in_openai_shape], client_max_size=_MAX_BODY)
    app.on_response_prepare.append(_mark_simulated)
    app.add_routes(ModelApi(RequestLog()).routes())
    return app


class ModelApi:
    """Answer the model's endpoints."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def routes(self) -> list[web.RouteDef]:
        """List the endpoints."""
        return [
            web.post("/v1/chat/completions", self.complete_chat),
            web.get("/v1/models", self.list_models),
            web.get("/v1/models/{name}", self.show_model),
            web.get("/sim/requests", self.list_requests),
            web.get("/healthz", self.tell_health),
        ]

    async def complete_chat(self, request: web.Request) -> web.StreamResponse:
        """Answer a conversation, in the manner its last user message orders."""
        body = await read_body(request)
        asked = read_chat_request(body)
        request_id = self._log.keep(body)
        answered = answer(asked)
        await asyncio.sleep(answered.pacing.first_ms / 1000)
        if answered.pacing.error is not None:
            return _ordered_error(answered.pacing.error)
        if asked.stream:
            return await _stream(request, ChunkWriter(request_id, asked, answered), answered.pacing)
        await _hold_whole(request, answered)
        if answered.pacing.fail is not None:
            return web.json_response(_FAILURE)
        return web.json_response(whole_completion(request_id, asked, answered))

    async def list_models(self, _: web.Request) -> web.Response:
        """List the models there are; other names are answered too."""
        return web.json_response({"object": "list", "data": [_model_json(name) for name in _MODELS]})

    async def show_model(self, request: web.Request) -> web.Response:
        """Show one model."""
        name = request.match_info["name"]
        if name not in _MODELS:
            raise web.HTTPNotFound(text=f"The model '{name}' does not exist")
        return web.json_response(_model_json(name))

    async def list_requests(self, request: web.Request) -> web.Response:
        """Show what reached the model after `since`."""
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < 18):
            raise BadModelRequestError("since must be the id of a request.", "since")
        return web.json_response({"requests": self._log.since(int(since))})

    async def tell_health(self, _: web.Request) -> web.Response:
        """Tell that the process is up."""
        return web.json_response({"status": "ok", "simulator": "model"})


async def _stream(request: web.Request, writer: ChunkWriter, pacing: Pacing) -> web.StreamResponse:
    """Send the chunks at the pace ordered, and end in the manner ordered."""
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    await response.prepare(request)
    await response.write(writer.opening())
    for chunk in writer.before():
        await response.write(chunk)
    stops = (pacing.cut, pacing.end, pacing.stall, pacing.comments, pacing.fail)
    stop = min((n for n in stops if n is not None), default=None)
    for number, chunk in enumerate(writer.content()):
        if number == stop:
            break
        if number and pacing.slow_ms:
            await asyncio.sleep(pacing.slow_ms / 1000)
        await response.write(chunk)
    if stop is None:
        for chunk in writer.closing():
            await response.write(chunk)
    elif stop == pacing.fail:
        await response.write(b"data: " + json.dumps(_FAILURE).encode() + b"\n\n")
    elif stop == pacing.comments:
        await _comment_on(response)
    elif stop != pacing.end:
        await _break_off(request, stalling=stop == pacing.stall)
    return response


async def _comment_on(response: web.StreamResponse) -> None:
    """Show signs of life, and nothing else, until the client leaves."""
    while True:
        await response.write(b": still here\n\n")
        await asyncio.sleep(_COMMENT_EACH_S)


async def _hold_whole(request: web.Request, answered: Answer) -> None:
    """Take as long as the stream would, and break off if that was ordered."""
    pacing = answered.pacing
    chunks = len(text_pieces(answered.text, pacing.chunks))
    await asyncio.sleep(pacing.slow_ms / 1000 * max(0, chunks - 1))
    stalls = pacing.stall is not None or pacing.comments is not None
    if pacing.cut is not None or stalls:
        await _break_off(request, stalling=stalls)


async def _break_off(request: web.Request, *, stalling: bool) -> None:
    """Say nothing more until the client leaves; or close the connection in the middle of the answer."""
    if stalling:
        await asyncio.Event().wait()
    if request.transport is not None:
        # Not abort(): that drops chunks a slow reader has not taken yet, and N chunks were ordered.
        request.transport.close()


def _ordered_error(status: int) -> web.Response:
    headers = {"Retry-After": "1"} if status in {429, 503} else {}
    message = f"The sandbox was told to answer {status}."
    return web.json_response(openai_error(message, status, None, "simulated"), status=status, headers=headers)


def _model_json(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _MODELS_MADE, "owned_by": "sandbox (simulated)"}


async def _mark_simulated(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SIMULATED)


@web.middleware
async def _in_openai_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in OpenAI's shape."""
    try:
        return await handler(request)
    except BadModelRequestError as error:
        body = openai_error(str(error), error.status, error.param, error.code)
        return web.json_response(body, status=error.status)
    except web.HTTPException as error:
        message = (error.text or error.reason).removeprefix(f"{error.status}: ")
        body = openai_error(message, error.status, None, HTTPStatus(error.status).name.lower())
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return web.json_response(body, status=error.status, headers=headers)
