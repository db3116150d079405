"""Python blocks of the pages run as they are written.

The blocks of a page run one after the other in one namespace, in a folder that
holds, small, what they name. A block of assignments alone is a piece of a
config: each part of it that has a type is built. Pages with tests of their own
are in ELSEWHERE.
"""

import ast
import shutil
from pathlib import Path

import pytest
import torch
from mmengine import registry
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope, Registry
from torch.utils.data import IterableDataset

from mmclip.cli import main
from mmclip.data.shapes_export import export
from mmclip.inference import detector, segmentor
from mmclip.jobs import find_config
from tests.clipasso.conftest import config_text_as_it_is  # noqa: F401
from tests.data.pairs import pair, picture, shards
from tests.glip.words import SPECIAL, WORDS
from tests.inference.test_named import publish_small_glip
from tests.test_docs import PAGES, ROOT, blocks, named

ELSEWHERE = {  # and where
    'README.md': 'test_commands.py',
    'docs/en/get_started.md': 'test_commands.py',
    'docs/en/own_config.md': 'test_own_config.py',
}
GIVEN = {  # names that a page takes for granted
    'docs/en/clipasso.md': lambda: dict(
        points=20 + 180 * torch.rand(1, 2, 1, 4, 2),
        width=torch.full((1, 2), 1.5),
        rgba=torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(1, 2, 4),
    ),
    'docs/en/lseg.md': lambda: dict(model=speaking_lseg()),
}
SHOWN = {  # what holds when a page is through, beside that nothing failed
    'docs/en/clipasso.md': [
        "'sketches/cat.svg' in found['files']",
        'image.shape == (1, 4, 224, 224)',
        'image[:, :3].min() < 0.5',
    ],
    'docs/en/demo.md': [],
    'docs/en/distributed.md': [],
    'docs/en/export.md': ['set(labels) == {0, 1}', 'scores[0] >= 0.3'],
    'docs/en/glip_data.md': ['student(gold, pseudo, train_pipeline)'],
    'docs/en/groupvit.md': [
        "found['labels'].shape == (64, 96)",
        "found['names'] == ['background', 'car', 'tree']",
    ],
    'docs/en/inference.md': [
        "Path('grounded.png').is_file()",
        "set(found['labels']) == {p for p, _ in found['phrases']}",
        "set(found['labels']) == {'a red circle', 'a blue square'}",
    ],
    'docs/en/lseg.md': [
        "found['labels'].dtype == 'int32'",
        "found['labels'].shape == (128, 128)",
        "model.decode_head.vocabulary.names == ['dog', 'sky']",
    ],
    'docs/en/shapes.md': [
        'len(scene.objects) > 0',
        'crowd.image.shape == (256, 256, 3)',
        'photo.alpha.shape == (224, 224)',
    ],
}
# What cannot be built here, and why; test_distributed.py reads its options.
UNBUILT = {
    'AmpOptimWrapper': 'half precision wants a GPU',
    'DeepSpeedStrategy': 'wants the package deepspeed and GPUs',
    'DeepSpeedOptimWrapper': 'likewise',
}
DOTS = {  # what dots stand for, beside steps of a pipeline
    'classes': ('circle', 'square'),
    'palette': [(255, 0, 0), (0, 0, 255)],
}
RUN = [
    page
    for page in PAGES
    if blocks(page, 'python')
    and 'zh' not in named(page)  # the same code
    and named(page) not in ELSEWHERE
]


# ---- what lies in the folder ----


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with all that the pages name."""
    folder = tmp_path_factory.mktemp('pages')
    (folder / 'docs').symlink_to(ROOT / 'docs')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv('MMCLIP_CACHE', str(folder / 'cache'))
        put_pictures()
        put_data()
        put_models()
        put_groupvit()
        publish_small_glip(folder, patch)
        put_sketching(patch)
        yield folder
    detector.kept_detector.cache_clear()  # their files end with the folder
    segmentor.kept_segmentor.cache_clear()


def put_pictures() -> None:
    from tests.clipasso.sketching import draw_picture

    for path in ('cat.jpg', 'street.jpg', 'scene.png', 'photographs/a.jpg'):
        draw_picture(Path(path), size=(96, 64))
    shutil.copy('cat.jpg', 'photographs/b.jpg')


def put_data() -> None:
    """Write the data sets, of a few pictures each."""
    export('odvg', '.', 4, size=64)
    for path in ('gold.jsonl', 'out/labels.jsonl', 'data/flickr_odvg.jsonl'):
        Path(path).parent.mkdir(exist_ok=True)
        shutil.copy('grounding.jsonl', path)
    Path('data/vocab.txt').write_text('\n'.join(SPECIAL + WORDS.split()))
    export('ade', 'OUT', 2, size=64, num_val=1)
    for path in ('data/gcc3m', 'data/mine/below'):
        Path(path).mkdir(parents=True)
    shards(Path('data/gcc3m'), 2, 2)
    for name, data in pair(10):
        Path('data/mine/below', name).write_bytes(data)
    Path('data/a.png').write_bytes(picture(11))
    Path('data/list.tsv').write_text('file\ttext\na.png\ta picture\n')


def put_models() -> None:
    """Write work directories of our configs, and what comes from them."""
    for name in ('vild_r18_fpn_shapes', 'lseg_shapes-clip-dpt_shapes'):
        put_work_dir(Config.fromfile(find_config(name)), name)
    name = 'glip_r18_fpn_shapes'
    text = Config.fromfile(find_config(name)).pretty_text
    cfg = Config.fromstring(text.replace('data/shapes_odvg/', ''), '.py')
    put_work_dir(cfg, name)
    words = ['--text', 'red circle . blue square', '--size', '64', '96']
    name = 'vild_r18_fpn_shapes'
    assert not main(
        ['export', name, f'work_dirs/{name}', 'scene.onnx', *words]
    )


def put_work_dir(cfg: Config, name: str) -> None:
    """Save a model as it is before its first step."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    work = Path('work_dirs', name).absolute()
    work.mkdir(parents=True)
    state = model.state_dict()
    if 'bbox_head.head.bias0' in state:  # a GLIP that says nothing yet
        state['bbox_head.head.bias0'].zero_()
    saved = dict(state_dict=state, meta=dict(cfg=cfg.pretty_text))
    torch.save(saved, work / 'iter_0.pth')
    (work / 'last_checkpoint').write_text(str(work / 'iter_0.pth'))


def put_groupvit() -> None:
    """Write what ``mmclip convert groupvit`` makes of a tiny release."""
    from tests.groupvit.tiny import TEXT, pretrainer

    text = dict(TEXT, context_length=77, vocab_size=49408)  # of all words
    model = pretrainer(text_encoder=text)
    torch.save(dict(model=model.state_dict()), 'released.pth')
    files = ['released.pth', 'groupvit.safetensors']
    assert not main(['convert', 'groupvit', *files])


def put_sketching(patch) -> None:
    """Let two steps by shapes-clip be the recipe at hand."""
    from mmclip.clipasso import recipes

    cfg = Config.fromfile(find_config('clipasso_shapes-clip_shapes'))
    cfg.train_cfg.update(num_iters=2, eval_interval=1)
    cfg.model.num_seeds = 1
    cfg.dump('sketch.py')
    patch.setattr(recipes, 'what_is_at_hand', lambda: ('sketch.py', {}))


def speaking_lseg():
    """Return an LSeg whose names are read by a tiny CLIP of all words."""
    from tests.docs.test_own_config import TINY_CLIP
    from tests.lseg.tiny import tiny_lseg, vocabulary

    encoder = dict(
        type='mmclip.CLIPTextEncoder', model=TINY_CLIP, pretrained=None
    )
    model = tiny_lseg()
    config = vocabulary() | dict(text_encoder=encoder)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model.decode_head.vocabulary = MODELS.build(config)
    return model


# ---- blocks that are programs, and blocks that are configs ----


def is_config(text: str) -> bool:
    """Tell assignments of plain values, which a config may hold."""
    plain = (ast.Assign, ast.Name, ast.Constant, ast.keyword)
    plain += (ast.Dict, ast.List, ast.Tuple, ast.expr_context)
    return all(
        isinstance(node, (*plain, ast.Module))
        or isinstance(node, ast.Call)
        and getattr(node.func, 'id', '') in ('dict', 'int')
        for node in ast.walk(ast.parse(text))
    )


def run(text: str, scope: dict, built: list) -> None:
    """Run a block; where it is a config, build each value it assigns."""
    if not is_config(text):
        exec(text, scope)  # our own page
        return
    for statement in ast.parse(text).body:
        exec(compile(ast.Module([statement], []), 'page', 'exec'), scope)
        for target in statement.targets:
            build_within(filled(scope[target.id]), built)


def filled(value, key: str = ''):
    """Put in what dots stand for: more steps, or what DOTS says."""
    if value is ...:
        return DOTS[key]
    if isinstance(value, dict):
        return {k: filled(v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(filled(v) for v in value if v is not ...)
    return value


def build_within(value, built: list) -> None:
    """Build the outermost parts that have a type."""
    if isinstance(value, dict) and 'type' in value:
        built.append(value['type'])
        if value['type'] not in UNBUILT:
            build(value)
        return
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            build_within(each, built)


def build(cfg: dict):
    """Build a part by the registry that has it, and let a data set read."""
    kinds = [k for k in vars(registry).values() if holds(k, cfg['type'])]
    assert len(kinds) == 1, f'{cfg["type"]} is in {kinds}'
    (kind,) = kinds
    if kind is registry.FUNCTIONS:
        return kind.get(cfg['type'])
    if kind is registry.VISUALIZERS:  # as a runner does
        cfg = dict(cfg, name='code_blocks', save_dir='work_dirs/seen')
    if kind is registry.OPTIM_WRAPPERS:
        return build_optim_wrapper(torch.nn.Linear(1, 1), cfg)
    made = kind.build(cfg)
    if isinstance(made, IterableDataset):
        assert next(iter(made))
    elif kind is registry.DATASETS:
        assert made[0]
    return made


def holds(kind, name: str) -> bool:
    """Tell a registry that has a type; ours say so by a KeyError."""
    try:
        return isinstance(kind, Registry) and kind.get(name) is not None
    except KeyError:
        return False


def student(gold: dict, pseudo: dict, pipeline: list) -> bool:
    """Read both data sets through a page's pipeline; tell what comes."""
    pipeline = filled(pipeline)
    for cfg in (gold, pseudo):
        sample = build(dict(cfg, pipeline=pipeline))[0]['data_samples']
        assert len(sample.gt_instances) == len(sample.tokens_positive)
        assert sample.text
    return True


@pytest.mark.parametrize('page', RUN, ids=named)
def test_the_blocks_of_a_page_run(page, folder, monkeypatch, capfd):
    name = named(page)
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    scope, built = GIVEN.get(name, dict)(), []
    texts = blocks(page, 'python')
    for text in texts:
        run(text, scope, built)
    assert bool(built) == any(map(is_config, texts))
    if any('print(' in text for text in texts):
        assert capfd.readouterr().out
    scope |= dict(Path=Path, student=student)
    for claim in SHOWN[name]:
        assert eval(claim, scope), claim


def test_the_tables_name_pages_that_are_there():
    found = {named(page) for page in RUN}
    assert set(SHOWN) == found
    assert set(GIVEN) <= found
    texts = {name: blocks(ROOT / name, 'python') for name in ELSEWHERE}
    assert all(texts.values())


def test_what_is_not_built_stands_on_a_page():
    texts = [text for page in RUN for text in blocks(page, 'python')]
    for kind in UNBUILT:
        assert any(f"type='{kind}'" in text for text in texts), kind
