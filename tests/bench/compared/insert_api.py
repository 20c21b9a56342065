"""What accepting a message is compared with: FastAPI as usual, with one INSERT for each: `... PORT`."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from shared.ids import new_id

INSERT = """
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parts, event_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, now())
    RETURNING created_at
"""


class Message(BaseModel):
    role: str
    content: str
    parts: list[dict[str, Any]] = []


@asynccontextmanager
async def pool_of(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["LOGGER_DATABASE_URL"], max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=pool_of)


@app.get("/readyz")
async def ready() -> None:
    await app.state.pool.fetchval("SELECT 1")


@app.post("/api/chat/sessions/{session_id}/messages", status_code=201)
async def post(session_id: str, message: Message) -> dict[str, Any]:
    message_id = new_id()
    user_id, parts = session_id.replace("session", "user"), json.dumps(message.parts)
    created_at = await app.state.pool.fetchval(
        INSERT, user_id, session_id, str(message_id), message.role, message.content, parts, message_id
    )
    return {"message": {"id": str(message_id), "created_at": created_at, **message.model_dump()}}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning", loop="uvloop")
