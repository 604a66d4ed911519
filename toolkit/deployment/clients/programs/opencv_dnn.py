"""OpenCV dnn: `python opencv_dnn.py MODEL INPUT.npy OUTPUT.npy`."""

import sys

import cv2
import numpy as np

network = cv2.dnn.readNetFromONNX(sys.argv[1])
network.setInput(np.load(sys.argv[2]))
np.save(sys.argv[3], network.forward())
print(cv2.__version__)
