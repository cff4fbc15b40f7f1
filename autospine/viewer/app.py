"""The script that Streamlit runs at every click; its arguments are the device and the models' folders."""

from __future__ import annotations

import sys

from autospine.viewer.page import show

show(tuple(sys.argv[2:]), sys.argv[1])
