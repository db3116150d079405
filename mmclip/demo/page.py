"""The page: a tab for each task, upon gradio.

Nothing on it is loaded from another machine, and nothing is reported to one.
"""

import html
import os
import random
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmclip.data import shapes
from mmclip.demo import answers
from mmclip.demo.live_sketch import LiveSketch
from mmclip.demo.models import Named

TABS = dict(  # what each asks, and an example for a drawn scene
    detect=('Names', 'red circle . blue square . red star'),
    ground=('Caption', 'a red circle above a blue square'),
    segment=('Names', 'background . red circle . blue square . red star'),
    groups=None,
    sketch=None,
)
ABOUT = dict(
    detect='Boxes of what you name.',
    ground='Boxes of each phrase of a sentence.',
    segment='One of your names for every pixel.',
    groups='The pixels that a GroupViT merges, stage by stage.',
    sketch='A few strokes that look to CLIP like your picture.',
)
SAID = (ValueError, OSError, ImportError, RuntimeError)  # users' errors
FONTS = ['system-ui', 'sans-serif']  # the machine's own: no font is fetched


def need_gradio():
    """Return gradio, told not to report anything.

    Raises:
        ImportError: It is not installed.
    """
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ.setdefault('HF_HUB_DISABLE_TELEMETRY', '1')
    try:
        import gradio
    except ImportError as error:
        raise ImportError(
            'the demo needs gradio: pip install "mmclip[demo]"'
        ) from error
    return gradio


def build_page(models: dict[str, Named]):
    """Build the page.

    Args:
        models: What answers in each tab, by task; a tab without an entry
            says what is missing.

    Returns:
        gradio's ``Blocks``; see :func:`launch`.
    """
    gr = need_gradio()
    with gr.Blocks(
        title='mmclip', analytics_enabled=False, delete_cache=(3600, 3600)
    ) as page:
        gr.Markdown('# mmclip\nWhat grew out of CLIP, asked in words.')
        with gr.Tabs():
            for task in TABS:
                named = models.get(task, Named(task))
                with gr.Tab(task.capitalize(), id=task):
                    gr.Markdown(f'{ABOUT[task]} {who_answers(named)}')
                    add = add_sketch if task == 'sketch' else add_answer
                    add(gr, named)
    return page.queue(default_concurrency_limit=1)


def launch(page, host: str, port: int | None, wait: bool = True, **options):
    """Serve the page until it is interrupted; returns its address.

    Args:
        page: What :func:`build_page` returned.
        host: Which connections are taken: 127.0.0.1 for this machine's.
        port: None takes the first free one from 7860 on.
        wait: Whether to serve until Ctrl-C.
        options: More of gradio's ``Blocks.launch``.

    Raises:
        OSError: The port is taken.
    """
    gr = need_gradio()
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            ssr_mode=False,
            footer_links=[],
            theme=gr.themes.Default(font=FONTS, font_mono=['monospace']),
            prevent_thread_lock=True,
            quiet=True,
            **options,
        )
    except OSError as error:
        if 'empty port' not in str(error):
            raise
        raise OSError(
            f'port {port or "7860 to 7959"} of {host} is taken: name another '
            '(--port)'
        ) from error
    if wait:
        print(f'open {address} (Ctrl-C ends)', flush=True)
        page.block_thread()
    return address


def who_answers(named: Named) -> str:
    """Say which model answers in a tab, or what is missing."""
    try:
        return f'Answers: `{named.check()}`.'
    except Exception as error:
        return problem(error)


def problem(error: Exception) -> str:
    """Return an error as a message; what is no user's goes to the log."""
    if isinstance(error, SAID) or type(error) is LookupError:
        said = str(error)
    else:
        traceback.print_exception(error)
        said = f'{type(error).__name__}: {error} (the terminal shows where)'
    return f'**Cannot answer:** {html.escape(said, quote=False)}'


def add_inputs(gr, named: Named):
    """Add what every tab has: an image, and a button that draws one."""
    image = gr.Image(
        type='filepath',
        sources=['upload', 'clipboard'],
        label='Image',
        buttons=[],
        height=280,
        elem_id=f'{named.task}-image',
    )
    image.preprocess = path_of
    few = named.task == 'sketch'
    what = 'Draw a shape' if few else 'Draw a scene of the shapes world'
    gr.Button(what, size='sm', elem_id=f'{named.task}-draw').click(
        draw_object if few else draw_scene,
        outputs=image,
        api_visibility='private',
    )
    return image


def path_of(upload) -> str | None:
    """Return where an upload lies, unread.

    gradio's own reading ends a damaged file in an error without a word on
    the page; ours says what is wrong.
    """
    return upload and upload.path


def add_answer(gr, named: Named) -> None:
    """Add a tab that answers at once."""
    with gr.Row():
        with gr.Column():
            inputs = [add_inputs(gr, named)]
            if TABS[named.task]:
                label, example = TABS[named.task]
                inputs.append(
                    gr.Textbox(example, label=label, lines=2, max_lines=6)
                )
            if named.task in ('detect', 'ground'):
                inputs.append(
                    gr.Slider(0, 1, 0.3, step=0.05, label='Least score')
                )
            go = gr.Button(
                named.task.capitalize(),
                variant='primary',
                elem_id=f'{named.task}-go',
            )
        with gr.Column():
            picture = gr.Image(
                show_label=False,
                format='png',
                interactive=False,
                buttons=['download', 'fullscreen'],
                elem_id=f'{named.task}-picture',
            )
            text = gr.Markdown(elem_id=f'{named.task}-text')
    go.click(
        answering(getattr(answers, named.task), named),
        inputs,
        [picture, text],
        concurrency_id='answers',
        show_progress_on=picture,
        api_visibility='private',
    )


def answering(answer: Callable, named: Named) -> Callable:
    """Wrap a task's function: an error becomes a message."""

    def run(*values):
        try:
            return answer(named, *values)
        except Exception as error:
            return None, problem(error)

    return run


def add_sketch(gr, named: Named) -> None:
    """Add the tab whose answer grows."""
    running: dict[str, LiveSketch] = {}  # by the session of the page

    def start(image, strokes, iters, request: gr.Request) -> Iterator[tuple]:
        session = request.session_hash
        yield from growing(named, image, strokes, iters, running, session)

    def stop(request: gr.Request) -> None:
        if request.session_hash in running:
            running[request.session_hash].stop()

    with gr.Row():
        with gr.Column():
            image = add_inputs(gr, named)
            strokes = gr.Slider(1, 64, 16, step=1, label='Strokes')
            iters = gr.Slider(
                10, 2000, 300, step=10, label='Steps', elem_id='sketch-steps'
            )
            with gr.Row():
                go = gr.Button(
                    'Sketch', variant='primary', elem_id='sketch-go'
                )
                end = gr.Button('Stop', elem_id='sketch-stop')
        with gr.Column():
            drawing = gr.HTML(elem_id='sketch-picture', min_height=320)
            text = gr.Markdown(elem_id='sketch-text')
            file = gr.DownloadButton('Download the SVG', interactive=False)
    go.click(
        start,
        [image, strokes, iters],
        [drawing, text, file],
        concurrency_id='sketch',
        show_progress='hidden',
        api_visibility='private',
    )
    end.click(stop, concurrency_limit=None, api_visibility='private')


def growing(
    named: Named, image, strokes, iters, running: dict, session: str
) -> Iterator[tuple]:
    """Yield drawing, text and file of a sketch while it grows.

    Args:
        named: The network.
        image: Path, or None.
        strokes: How many.
        iters: Steps.
        running: Sketches at work, by session; this one is in it meanwhile.
        session: The page's.
    """
    gr = need_gradio()
    off = gr.DownloadButton(interactive=False)
    try:
        if image is None:
            answers.asked(None)
        live = running[session] = LiveSketch(named, image, strokes, iters)
        for moment in live:
            file = off
            if moment.done:
                file = offer(gr, moment.svg)
            yield on_paper(moment.svg), moment.text, file
    except Exception as error:
        yield '', problem(error), off
    finally:
        running.pop(session, None)


def on_paper(svg: str) -> str:
    """Return a sketch as HTML, as wide as its column."""
    if not svg:
        return ''
    markup = svg[svg.index('<svg') :]
    return (
        '<div style="background: white; border: 1px solid silver; '
        f'max-width: 480px">{scalable(markup)}</div>'
    )


def scalable(markup: str) -> str:
    """Replace width and height of an SVG by a box that it fills."""
    from mmclip.clipasso.svg import parse_svg

    height, width = parse_svg(markup).size
    return markup.replace(
        f'width="{width}" height="{height}"',
        f'viewBox="0 0 {width} {height}" style="width: 100%; display: block"',
        1,
    )


def offer(gr, svg: str):
    """Return the button by which a sketch is taken home."""
    path = Path(tempfile.mkdtemp(prefix='mmclip-')) / 'sketch.svg'
    path.write_text(svg, encoding='utf8')
    return gr.DownloadButton(value=str(path), interactive=True)


def draw_scene():
    """Draw a scene of the shapes world, another one each time."""
    return shapes.draw_scene(random.randrange(10**6), 96, objects=(3, 5)).image


def draw_object(seed: int | None = None):
    """Draw one large object, transparent around it."""
    seed = random.randrange(10**6) if seed is None else seed
    scene = shapes.draw_scene(seed, 96, objects=(1, 1), radius=(0.3, 0.36))
    alpha = np.uint8(scene.objects[0].mask) * 255
    return Image.fromarray(np.dstack([scene.image, alpha]))
