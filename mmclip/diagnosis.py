"""Say, before any run, what a config needs and this machine lacks.

Nothing is built, fetched or trained. A finding is a pair (what is lacking,
how to mend it); a note is a line about what a run can do without.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mmclip.clip import efficientnet_lite0 as lite0
from mmclip.clip.missing import missing_clip
from mmclip.clip.scheme import PACKAGED
from mmclip.clip.weights import SHAPES_CLIP, SUFFIXES, is_path
from mmclip.doctor import problems
from mmclip.registry import missing_package, near_types, root_registries

SPLITS = ('train', 'val', 'test')
LOADERS = tuple(f'{split}_dataloader' for split in SPLITS)
EVALUATORS = tuple(f'{split}_evaluator' for split in SPLITS[1:])
USED = (  # what a runner builds; a config may hold other variables beside
    'model',
    'tta_model',
    *LOADERS,
    'tta_pipeline',
    *EVALUATORS,
    *(f'{split}_cfg' for split in SPLITS),
    'optim_wrapper',
    'param_scheduler',
    'default_hooks',
    'custom_hooks',
    'visualizer',
    'log_processor',
)
FILES = (*SUFFIXES, '.npy', '.json', '.txt')  # that a model may read
SCHEME = 'mmclip://'
LVIS_API = 'pip install git+https://github.com/lvis-dataset/lvis-api.git'
PACKAGES = {  # type: (module that it imports when it is built or used, fix)
    'OVLVISMetric': ('hotcoco', 'pip install "mmclip[lvis]"'),
    'LVISMetric': ('lvis', LVIS_API),
    'LVISDataset': ('lvis', LVIS_API),
    'LVISV05Dataset': ('lvis', LVIS_API),
    'LVISV1Dataset': ('lvis', LVIS_API),
    'BertModel': ('transformers', 'pip install transformers'),
    'Albu': ('albumentations', 'pip install albumentations'),
    'CityScapesMetric': ('cityscapesscripts', 'pip install cityscapesscripts'),
    'CocoPanopticMetric': (
        'panopticapi',
        'pip install git+https://github.com/cocodataset/panopticapi.git',
    ),
    'TensorboardVisBackend': ('tensorboard', 'pip install tensorboard'),
    'WandbVisBackend': ('wandb', 'pip install wandb'),
    'MLflowVisBackend': ('mlflow', 'pip install mlflow'),
}

Finding = tuple[str, str]


def report(cfg) -> int:
    """Print what a config lacks here, one line each, and what to know.

    Args:
        cfg: An mmengine config.

    Returns:
        How many things are lacking.
    """
    found = problems() or lacks(cfg)
    for what, fix in found:
        print(f'{what}: {fix}')
    for note in notes(cfg):
        print(f'note: {note}')
    print(f'{len(found) or "nothing"} lacking')
    return len(found)


def lacks(cfg) -> list[Finding]:
    """Return (what a run of ``cfg`` needs and is not here, the fix)."""
    parts = used_parts(cfg)
    found = [
        *unknown_types(parts, cfg.get('default_scope') or 'mmengine'),
        *missing_packages(parts),
        *missing_data(parts),
        *missing_weights(parts, cfg.get('load_from')),
        *missing_accelerator(parts),
    ]
    return list(dict.fromkeys(found))


def used_parts(cfg) -> dict:
    """Return, as plain dicts and lists, what a runner takes from a config."""
    return {k: v for k, v in cfg.to_dict().items() if k in USED}


def entries(node, place: str = '') -> Iterator[tuple[str, object]]:
    """Yield (place, value) of everything below ``node``, dicts included."""
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, (list, tuple)):
        children = ((str(i), child) for i, child in enumerate(node))
    else:
        return
    for key, child in children:
        below = f'{place}.{key}' if place else str(key)
        yield below, child
        yield from entries(child, below)


def dicts(parts: dict) -> Iterator[tuple[str, dict]]:
    """Yield (place, dict) of every dict below ``parts``."""
    return ((p, v) for p, v in entries(parts) if isinstance(v, dict))


# ---- types and packages ---------------------------------------------------


def unknown_types(parts: dict, scope: str) -> Iterator[Finding]:
    """Yield every type that no registry knows, with its neighbours.

    Args:
        parts: What :func:`used_parts` returns.
        scope: The config's ``default_scope``.
    """
    known, foreign = {}, ()
    for place, node in dicts(parts):
        typed = node.get('type')
        if not isinstance(typed, str) or place.startswith(foreign or '.'):
            continue
        if typed.endswith('Albu'):  # below it stand albumentations' types
            foreign += (f'{place}.',)
        if typed not in known:
            known[typed] = is_known(typed, scope)
        if not known[typed]:
            what = f"{place}.type='{typed}' is not registered"
            yield what, how_to_name(typed)


def is_known(typed: str, scope: str) -> bool:
    """Tell whether any registry, or mmcv's operators, has a type.

    Bare types in small letters pass: they are options that a module reads,
    as mmdet's FPG does ``type='conv'``, or operators such as ``nms``.
    """
    if '.' not in typed and typed.islower():
        return True
    keys = [typed] if '.' in typed else [f'{scope}.{typed}', typed]
    for registry in root_registries():
        for key in keys:
            try:
                if registry.get(key):
                    return True
            except (KeyError, RuntimeError, ImportError, AttributeError):
                continue  # each registry has its own way to say no
    return hasattr(import_module('mmcv.ops'), typed)  # RoIAlign and others


def how_to_name(typed: str) -> str:
    """Say what an unknown type may have meant."""
    package = missing_package(typed.removeprefix('mmclip.'))
    if package:
        return f'it needs {package!r}: pip install "mmclip[lite]"'
    near = near_types(typed)
    if near:
        return f'did you mean {" or ".join(near)}?'
    return 'name the module that registers it in custom_imports'


def missing_packages(parts: dict) -> Iterator[Finding]:
    """Yield the optional packages that a type needs and that are absent."""
    for place, node in dicts(parts):
        bare = str(node.get('type')).split('.')[-1]
        module, fix = PACKAGES.get(bare, (None, None))
        if bare == 'TimmFeatureExtractor' and node.get('weights') is None:
            module, fix = lite0.PACKAGE, lite0.INSTALL
        if module and find_spec(module) is None:
            yield f"{place} ({bare}) needs the package '{module}'", fix


# ---- data -----------------------------------------------------------------


def missing_data(parts: dict) -> Iterator[Finding]:
    """Yield the files and folders of datasets and metrics that are absent."""
    seen = set()
    sources = {k: parts[k] for k in (*LOADERS, *EVALUATORS) if k in parts}
    for place, node in dicts(sources):
        for key, path in data_paths(node):
            if path not in seen and not Path(path).expanduser().exists():
                fix = 'put it there, or change the path'
                if node.get('data_root'):
                    fix += f' (data_root is {node["data_root"]!r})'
                yield f"{place}.{key}='{path}' does not exist", fix
            seen.add(path)


def data_paths(node: dict) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of the local data that a dataset or metric reads.

    Paths are joined with ``data_root`` as mmengine's BaseDataset does it.
    """
    backend = (node.get('backend_args') or {}).get('backend', 'local')
    if backend != 'local':
        return
    root = node.get('data_root') or ''
    named = {k: v for k, v in node.items() if is_data_key(k)}
    prefixes = node.get('data_prefix') or {}
    if not isinstance(prefixes, dict):  # as in mmpretrain
        prefixes = {'': prefixes}
    for prefix, below in prefixes.items():
        named[f'data_prefix.{prefix}'.rstrip('.')] = below
    if root and not any(named.values()):
        named['data_root'] = '.'
    for key, value in named.items():
        for path in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(path, str) and path and '://' not in path:
                yield key, str(Path(root) / path)


def is_data_key(key: str) -> bool:
    """Tell keys such as ``ann_file``, which name an input, from others."""
    return key.endswith('_file') or key == 'seg_prefix'


# ---- weights --------------------------------------------------------------


def missing_weights(parts: dict, load_from=None) -> Iterator[Finding]:
    """Yield the weights and tables of the model that are not here."""
    models = {k: parts[k] for k in ('model', 'tta_model') if k in parts}
    for place, value in [*entries(models), ('load_from', load_from)]:
        if isinstance(value, str) and value.startswith(SCHEME):
            model, _, tag = value.removeprefix(SCHEME).partition('/')
            if model in PACKAGED:
                continue
            if not tag:
                fix = f'add their tag, as in {SCHEME}RN50/openai'
                yield f"{place}='{value}' names no weights", fix
            yield from placed(missing_clip(model, tag or None), place)
        elif isinstance(value, str) and names_a_file(place, value):
            if not Path(value).expanduser().is_file():
                fix = 'put the file there, or change the path'
                yield f"{place}='{value}' does not exist", fix
        elif is_clip(value):
            absent = missing_clip(value['model'], value.get('pretrained'))
            yield from placed(absent, place)


def placed(found: Iterable[Finding], place: str) -> Iterator[Finding]:
    """Put the place in the config in front of findings."""
    return ((f'{place}: {what}', fix) for what, fix in found)


def names_a_file(place: str, value: str) -> bool:
    """Tell a local file's path among the strings of a model."""
    if '://' in value:
        return False
    key = place.split('.')[-1]
    if key == 'pretrained':
        return is_path(value)
    loaded = key in ('checkpoint', 'load_from')
    return loaded or Path(value).suffix in FILES


def is_clip(node) -> bool:
    """Tell the configs of our encoders, which name a CLIP."""
    return (
        isinstance(node, dict)
        and str(node.get('type')).startswith('mmclip.CLIP')
        and 'model' in node
    )


# ---- the machine ----------------------------------------------------------


def missing_accelerator(parts: dict) -> Iterator[Finding]:
    """Yield mixed precision where mmengine's wrapper would refuse it."""
    from mmengine.device import get_device

    wrapper = str(parts.get('optim_wrapper', {}).get('type'))
    if wrapper.endswith('AmpOptimWrapper') and get_device() == 'cpu':
        yield (
            'optim_wrapper.type=AmpOptimWrapper needs an accelerator, and '
            'this machine has none',
            "take type='mmengine.OptimWrapper' to train in float32",
        )


def notes(cfg) -> Iterator[str]:
    """Yield what is good to know and stops no run."""
    import torch

    dist = cfg.get('env_cfg', {}).get('dist_cfg', {})
    if dist.get('backend') == 'nccl' and not torch.cuda.is_available():
        yield (
            'there is no CUDA: for several processes add --cfg-options '
            'env_cfg.dist_cfg.backend=gloo; one process needs nothing'
        )
    model = used_parts(cfg).get('model', {})
    found = [*entries(model, 'model'), ('load_from', cfg.get('load_from'))]
    if any(value == 'SyncBN' for _, value in found):
        yield (
            'SyncBN is plain batch norm in one process: it normalises over '
            'the images of that process alone'
        )
    for place, value in found:
        if is_clip(value):
            if value['model'] != SHAPES_CLIP and not value.get('pretrained'):
                yield f'{place} has no pretrained=: its weights are random'
        elif is_address(value) and not is_fetched(value):
            yield f'{place}: the first run fetches {value}'


def is_address(value) -> bool:
    """Tell weights of the web, of torchvision or OpenMMLab, by their name."""
    return (
        isinstance(value, str)
        and '://' in value
        and not value.startswith(SCHEME)
    )


def is_fetched(address: str) -> bool:
    """Tell whether torch's cache holds what mmengine would fetch."""
    from mmengine.runner import checkpoint
    from torch.hub import get_dir

    scheme, _, name = address.partition('://')
    if scheme == 'torchvision':
        address = checkpoint.get_torchvision_models().get(name, address)
    elif scheme in ('open-mmlab', 'openmmlab'):
        address = checkpoint.get_external_models().get(name, address)
    file = address.partition('?')[0].rpartition('/')[2]
    return (Path(get_dir()) / 'checkpoints' / file).is_file()
