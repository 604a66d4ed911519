"""`toolkit upscale - -o -`, in real pipes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from media.nearest import nearest_artifact

TOOLKIT = Path(sys.executable).with_name("toolkit")
HEADER = b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C444 XCOLORRANGE=FULL\n"
LARGE = HEADER.replace(b"W16 H16", b"W32 H32")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    artifact = nearest_artifact(tmp_path_factory.mktemp("network"))
    return [str(TOOLKIT), "upscale", "-", "-o", "-", "--model", str(artifact.path)]


def frames(count: int, sides: int) -> bytes:
    """Grey frames, each lighter than the one before."""
    plane = sides * sides
    return b"".join(
        b"FRAME\n" + bytes([10 * (number + 1)]) * plane + bytes([128]) * 2 * plane for number in range(count)
    )


def test_stdout_holds_the_video_only(command: list[str]) -> None:
    done = subprocess.run(command, input=HEADER + frames(3, 16), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == LARGE + frames(3, 32)
    assert b"3 frames" in done.stderr


def test_truncated_input(command: list[str]) -> None:
    done = subprocess.run(command, input=(HEADER + frames(3, 16))[:-1], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stdout == LARGE + frames(2, 32)
    assert done.stderr.count(b"error:") == 1
    assert b"Traceback" not in done.stderr


def test_a_reader_that_exits(command: list[str]) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(HEADER + frames(20, 16))
        process.stdin.flush()  # and stays open, as that of a camera
        words = process.stderr.read()
    assert process.returncode == 0
    assert b"Traceback" not in words
    assert b"BrokenPipe" not in words


def test_ctrl_c_ends_after_the_frames_that_were_read(command: list[str]) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(HEADER + frames(2, 16))
        process.stdin.flush()
        wanted = LARGE + frames(2, 32)
        found = b""
        while len(found) < len(wanted) and select.select([process.stdout], [], [], 60)[0]:
            found += os.read(process.stdout.fileno(), 1 << 16)
        process.send_signal(signal.SIGINT)
        found += process.stdout.read()
        words = process.stderr.read()
    assert process.returncode == 130
    assert found == wanted
    assert b"Traceback" not in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-",), "both input and output"),
        (("-", "photo.png", "-o", "-"), "both input and output"),
        (("-", "-o", "-", "--json"), "cannot be used with a stream"),
        (("-", "-o", "-", "--jobs", "2"), "--jobs cannot be used"),
    ],
)
def test_options_that_are_refused(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    done = subprocess.run([TOOLKIT, "upscale", *arguments], input="", capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
