"""The page of the site: its structure. What is shown on it is filled in by the scripts beside it."""

from __future__ import annotations

from importlib.resources import files

from toolkit.deployment.web.description import Description
from toolkit.pages.document import document
from toolkit.pages.slider import CANVAS_STYLE, SLIDER_STYLE, canvas_slider
from toolkit.quoting import html

SCRIPT = "app.js"


def page(description: Description) -> str:
    """The page for a network."""
    style = (files("toolkit.deployment.web") / "application" / "style.css").read_text()
    does = f"Pictures are enlarged {description.scale} times, in this browser: nothing is sent anywhere."
    content = (
        f"<p class='soft'>{html(description.title)}. {does}</p>",
        _UNSTARTED,
        _STATE,
        "<main id='application' hidden>",
        _SOURCES,
        _RESULT.format(slider=canvas_slider("view", "before (enlarged by the browser)", "after")),
        "</main>",
        _footer(description),
    )
    title = f"{description.name}: super-resolution in the browser"
    return document(title, content, style=f"{SLIDER_STYLE}{CANVAS_STYLE}{style}", script=SCRIPT)


_UNSTARTED = """<p id='unstarted' class='warnings'>This page needs JavaScript, and a web server: browsers do not load
scripts from files. Run <code>python -m http.server -d site</code> with the directory of this page, and open
<code>http://localhost:8000</code>.</p>"""

_STATE = """<section class='state' aria-label='Runtime'><dl>
<div><dt>Runs on</dt><dd id='provider'>–</dd></div>
<div><dt>Equals the reference</dt><dd id='reference'>–</dd></div>
<div><dt>Frame time</dt><dd id='time'>–</dd></div>
</dl><p id='fallback' class='warnings' role='alert' hidden></p></section>"""

_SOURCES = """<section id='drop' class='drop' aria-label='Input'>
<p><strong>Drop a picture or a video here</strong>, paste a picture, or:</p>
<p class='buttons'><label class='button' for='file'>Choose a file</label>
<input id='file' class='unseen' type='file' accept='image/*,video/*'>
<button id='share' type='button'>Share a tab or window</button>
<button id='stop' type='button' hidden>Stop sharing</button></p>
</section>
<p id='status' role='status' aria-live='polite'></p>
<p id='error' class='warnings' role='alert' hidden></p>
<progress id='progress' max='1' value='0' aria-label='Progress' hidden></progress>"""

_RESULT = """<section id='result' aria-label='Result' hidden>
<h2 id='caption'></h2>
{slider}
<p class='buttons'><button id='save' type='button'>Download PNG</button>
<label><input id='actual' type='checkbox'> Actual pixels</label></p>
</section>
<video id='video' controls muted playsinline loop hidden aria-label='Video before enlargement'></video>"""


def _footer(description: Description) -> str:
    licence = "not stated" if description.licence is None else description.licence
    return (
        f"<footer class='soft'><p>Weights: {html(description.model)}, licence {html(licence)}. Runs on ONNX Runtime "
        "Web (MIT licence). The line is moved by the arrow keys, or by dragging in the picture.</p></footer>"
    )
