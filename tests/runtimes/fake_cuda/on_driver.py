"""The calls of the driver: memory, copies, events, graphs."""

import ctypes
import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest
from runtimes.fake_cuda.stand_in import DRIVER

from toolkit.errors import Unavailable
from toolkit.runtimes.cuda.devices import compute_capability, cuda_devices, driver_version
from toolkit.runtimes.cuda.driver import Cuda
from toolkit.runtimes.cuda.frames import DeviceFrames


def ramp(size: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + size, dtype=np.float32)


def frames_of(cuda: Cuda, size: int) -> DeviceFrames:
    return DeviceFrames(cuda, cuda.pinned_array((size,), "float32"), cuda.pinned_array((size,), "float32"))


def copying(cuda: Cuda, frames: DeviceFrames) -> Callable[[], None]:
    """The only kernel of the stand-in: the input is the output."""
    target, source = ctypes.c_uint64(frames.output_address), ctypes.c_uint64(frames.input_address)
    size = ctypes.c_size_t(frames.given.nbytes)
    return lambda: cuda.call("fake_copy", target, source, size, ctypes.c_void_p(cuda.stream))


def test_the_device_is_found() -> None:
    assert cuda_devices() == (["Fake GPU"], "")
    assert compute_capability() == "8.6"
    assert driver_version() == "570.86.15 (CUDA 12.8)"


def test_sizes_and_addresses_have_64_bits(cuda: Cuda) -> None:
    size = (1 << 32) + 64
    address = cuda.device_memory(size)
    assert address > 1 << 32
    assert DRIVER.fake_size(address) == size
    cuda.free(address)
    assert DRIVER.fake_size(address) == 0


def test_a_frame_goes_there_and_back_in_order(cuda: Cuda) -> None:
    frames = frames_of(cuda, 100)
    for start in (0, 1000):
        frames.upload(ramp(100, start))
        copying(cuda, frames)()
        np.testing.assert_array_equal(frames.download(), ramp(100, start))


def test_nothing_is_there_before_the_stream_was_waited_for(cuda: Cuda) -> None:
    """Otherwise the stand-in could not tell whether `download` waits."""
    frames = frames_of(cuda, 10)
    frames.returned[:] = 0
    frames.upload(ramp(10, 1))
    copying(cuda, frames)()
    cuda.download(frames.returned, frames.output_address)
    assert not frames.returned.any()
    cuda.synchronise()
    np.testing.assert_array_equal(frames.returned, ramp(10, 1))


def test_pinned_memory_lives_as_long_as_its_last_view(cuda: Cuda) -> None:
    frames = frames_of(cuda, 10)
    frames.upload(ramp(10))
    copying(cuda, frames)()
    view = frames.download()[2:4]
    del frames
    gc.collect()
    assert DRIVER.fake_live() == 1
    np.testing.assert_array_equal(view, [2, 3])


def test_memory_may_be_given_back_on_another_thread(cuda: Cuda) -> None:
    held = [frames_of(cuda, 10)]
    thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
    thread.start()
    thread.join()
    assert DRIVER.fake_live() == 0


def test_events_measure_what_is_between_them(cuda: Cuda) -> None:
    frames = frames_of(cuda, 10)
    begin, end = cuda.event(), cuda.event()
    with pytest.raises(Unavailable, match="cuEventElapsedTime failed: unknown error \\(600\\)"):
        cuda.seconds_between(begin, end)
    cuda.record(begin)
    frames.upload(ramp(10))
    copying(cuda, frames)()
    cuda.record(end)
    cuda.synchronise()
    # The upload has an event of its own.
    assert cuda.seconds_between(begin, end) == pytest.approx(4 * 0.0005)


def test_a_captured_graph_is_replayed(cuda: Cuda) -> None:
    frames = frames_of(cuda, 10)
    frames.returned[:] = 0
    graph = cuda.capture(copying(cuda, frames))
    frames.upload(ramp(10, 5))
    assert not frames.download().any()  # captured, not run
    graph.launch()
    np.testing.assert_array_equal(frames.download(), ramp(10, 5))


def test_a_failed_capture_is_ended(cuda: Cuda) -> None:
    def fail() -> None:
        raise Unavailable("no such kernel")

    with pytest.raises(Unavailable, match="no such kernel"):
        cuda.capture(fail)
    cuda.synchronise()  # which a capture that still went on would not allow


def test_errors_have_the_drivers_words(cuda: Cuda) -> None:
    with pytest.raises(Unavailable, match=r"cuMemFree_v2 failed: invalid argument \(1\)") as caught:
        cuda.free(12345)
    assert caught.value.exit_code == 3
    with pytest.raises(Unavailable, match=r"cuMemAlloc_v2 failed: out of memory \(2\)"):
        cuda.device_memory(1 << 62)
