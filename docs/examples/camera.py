"""Upscale the frames of a camera, or of a video file, with OpenCV: `pip install opencv-python`.

python camera.py 0                        # camera 0, in a window; q ends it
python camera.py film.mp4 film_x2.mp4     # a file, into a file
"""

import sys
import time

import cv2

import toolkit


def main(source: str, target: str = "") -> None:
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not camera.isOpened():
        sys.exit(f"cannot open {source}")
    rate = camera.get(cv2.CAP_PROP_FPS) or 30
    writer, frames, begin = None, 0, time.perf_counter()
    with toolkit.Upscaler(scale=2, weights="video") as upscale:  # prepared by the first frame, for its size
        while True:
            there, frame = camera.read()
            if not there:
                break
            rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)  # OpenCV's frames are BGR
            large = cv2.cvtColor(upscale(rgb), cv2.COLOR_RGB2BGR)
            frames += 1
            if not target:
                cv2.imshow("x2", large)
                if cv2.waitKey(1) == ord("q"):
                    break
                continue
            if writer is None:
                size = large.shape[1], large.shape[0]
                writer = cv2.VideoWriter(target, cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
                if not writer.isOpened():
                    sys.exit(f"cannot write {target}")
            writer.write(large)
    camera.release()
    if writer is not None:
        writer.release()
    print(f"{frames} frames, {frames / (time.perf_counter() - begin):.1f} per second")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
