"""The same hello as the Polka servers, with FastAPI's BackgroundTasks."""

import time

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()
pending = 0


def noop() -> None:
    pass


def burn(milliseconds: float) -> None:
    global pending
    start = time.thread_time()
    value = 0.0
    while (time.thread_time() - start) * 1000 < milliseconds:
        for index in range(2000):
            value = (value + index) ** 0.5
    pending -= 1


@app.get("/", response_class=PlainTextResponse)
async def hello() -> str:
    return "Hello"


@app.get("/noop", response_class=PlainTextResponse)
async def with_noop(tasks: BackgroundTasks) -> str:
    tasks.add_task(noop)
    return "Hello"


@app.get("/burn", response_class=PlainTextResponse)
async def with_burn(tasks: BackgroundTasks, milliseconds: float) -> str:
    global pending
    pending += 1
    tasks.add_task(burn, milliseconds)
    return "Hello"


@app.get("/pending", response_class=PlainTextResponse)
async def count() -> str:
    return str(pending)
