"""A model that answers at once, for everybody who is compared: `tests.bench.workload.mock_model PORT PAUSE_MS`.

Each answer is whole at once, or OpenAI's stream: twenty chunks of text with a pause between two of them, each sent by
itself as models send them, then the finish reason, the usage and `[DONE]`.
"""

import asyncio
import sys

import uvloop
from aiohttp import web

CHUNKS = 20
HEAD = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","system_fingerprint":"fp",'
)
TEXT = HEAD + b'"choices":[{"index":0,"delta":{"content":"a light jet "},"logprobs":null,"finish_reason":null}]}\n\n'
END = (
    HEAD
    + b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
    + HEAD
    + b'"choices":[],"usage":{"prompt_tokens":60,"completion_tokens":80,"total_tokens":140}}\n\n'
    + b"data: [DONE]\n\n"
)
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "bench",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "a light jet " * CHUNKS}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 60, "completion_tokens": 80, "total_tokens": 140},
}
MODELS = {"object": "list", "data": [{"id": "bench", "object": "model", "created": 1, "owned_by": "openai"}]}


async def main(port: int, pause_s: float) -> None:
    async def complete(request: web.Request) -> web.StreamResponse:
        if b'"stream":true' not in (await request.read()).replace(b" ", b""):
            return web.json_response(WHOLE)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(CHUNKS):
            if number and pause_s:
                await asyncio.sleep(pause_s)
            await answer.write(TEXT)
        await answer.write(END)
        await answer.write_eof()
        return answer

    async def models(_: web.Request) -> web.Response:
        return web.json_response(MODELS)

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/v1/models", models)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
