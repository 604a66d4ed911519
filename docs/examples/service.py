"""An HTTP service that upscales pictures: `pip install fastapi uvicorn`, then `uvicorn service:app`.

curl --data-binary @photo.jpg http://127.0.0.1:8000/upscale -o photo_x2.png
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Lock

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from PIL import Image, ImageOps, UnidentifiedImageError

import toolkit

LARGEST_FILE = 32 << 20  # bytes
LARGEST_SIDE = 4096  # pixels

network: toolkit.Upscaler
lock = Lock()  # an upscaler serves one thread at a time, with all CPUs


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    global network
    with toolkit.Upscaler(scale=2) as network:  # weights that come with the toolkit; a path takes yours
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/upscale")
async def upscale(request: Request) -> Response:
    """The body is a picture in any format that Pillow reads; the answer is a PNG, twice as wide and high."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_FILE:
            raise HTTPException(413, f"more than {LARGEST_FILE} bytes")
    return Response(await run_in_threadpool(upscaled, bytes(content)), media_type="image/png")


def upscaled(content: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(content)) as image:
            if max(image.size) > LARGEST_SIDE:
                raise HTTPException(413, f"{image.width}x{image.height} pixels; at most {LARGEST_SIDE} a side")
            rgb = ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise HTTPException(415, "not a picture that can be read") from error
    with lock:
        large = network(rgb)
    stream = io.BytesIO()
    large.save(stream, "PNG")
    return stream.getvalue()
