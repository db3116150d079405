"""The models that come by name: their configs, and weights that are published.

They are listed in ``configs/*/metafile.yml``, whose keys are OpenMMLab's. Of
an entry are read ``Name``, ``In Collection``, ``Config``, ``Weights`` (an
address), ``Converter`` (``mmclip convert METHOD SRC DST``, where the file is
not yet of our layout), ``Results``, and under ``Metadata`` ``Training Data``,
``License``, ``sha256``, ``Size`` and ``Source`` (an address that a person
opens, where there is none to fetch).
"""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from mmclip.clip.download import check_sha256, fetch_file
from mmclip.clip.places import cache_dir, file_at_hand

TASKS = dict(
    CLIPasso='sketching',
    GLIP='detection, grounding',
    GroupViT='segmentation',
    LSeg='segmentation',
    ViLD='detection',
)
# OpenMMLab ends a file's name in the first digits of its checksum.
SEALED = re.compile(r'download\.openmmlab\.com/.+-([0-9a-f]{8})\.pth$')


@dataclass(frozen=True)
class ZooModel:
    """A model that comes by name.

    Attributes:
        name: Of its config.
        method: Its collection, such as ``'GLIP'``.
        task: What it does, in words.
        config: Path of its config.
        weights: Address of a published file, '' where there is none.
        source: Where a person finds the weights, if not at such an address.
        sha256: Leading hex digits of that file's checksum, '' if not known.
        licence: Of the weights, '' if not known.
        converter: The command that brings them into our layout, '' where
            they are in it.
        size: Of the file, as the metafile says it.
        data: What it was trained on.
        results: Published results.
    """

    name: str
    method: str
    task: str
    config: Path
    weights: str = ''
    source: str = ''
    sha256: str = ''
    licence: str = ''
    converter: str = ''
    size: str = ''
    data: str = ''
    results: list = field(default_factory=list, compare=False)

    @property
    def file_name(self) -> str:
        """Return what the published file is called."""
        return self.weights.partition('?')[0].rpartition('/')[2]

    @property
    def converted(self) -> Path:
        """Return where the file goes once it is converted."""
        stem = Path(self.file_name).stem or self.name
        return cache_dir('weights') / f'{stem}_mmclip.safetensors'

    @property
    def place(self) -> Path:
        """Return where the published file goes."""
        return cache_dir('weights') / self.file_name

    def published_file(self) -> Path | None:
        """Return the published file, if it lies on this machine."""
        if not self.weights:
            return None
        return file_at_hand([self.file_name], self.weights)

    def checkpoint(self) -> Path | None:
        """Return what mmengine can load, if it lies on this machine."""
        if not self.converter:
            return self.published_file()
        return self.converted if self.converted.is_file() else None


@cache
def zoo_models() -> tuple[ZooModel, ...]:
    """Return the models of all metafiles, by method and name."""
    from mmengine.fileio import load

    from mmclip.jobs import config_folder

    folder = config_folder()
    return tuple(
        read_entry(entry, folder)
        for metafile in sorted(folder.glob('*/metafile.yml'))
        for entry in load(metafile).get('Models', [])
    )


def read_entry(entry: dict, folder: Path) -> ZooModel:
    """Return the model that an entry of a metafile describes."""
    meta = entry.get('Metadata') or {}
    weights = entry.get('Weights') or ''
    sealed = SEALED.search(weights)
    return ZooModel(
        name=entry['Name'],
        method=entry['In Collection'],
        task=TASKS.get(entry['In Collection'], ''),
        config=folder / entry['Config'].removeprefix('configs/'),
        weights=weights,
        source=str(meta.get('Source') or ''),
        sha256=str(meta.get('sha256') or (sealed[1] if sealed else '')),
        licence=str(entry.get('License') or meta.get('License') or ''),
        converter=entry.get('Converter') or meta.get('Converter') or '',
        size=str(meta.get('Size') or ''),
        data=str(meta.get('Training Data') or ''),
        results=entry.get('Results') or [],
    )


def chosen_models(
    word: str = '', method: str = '', task: str = '', here: bool = False
) -> list[ZooModel]:
    """Return the models that fit.

    Args:
        word: Part of the name.
        method: Its collection, in any case.
        task: Part of what it does.
        here: Whether its weights must lie on this machine.
    """
    return [
        model
        for model in zoo_models()
        if plain(word) in plain(model.name)
        and method.lower() in ('', model.method.lower())
        and task.lower() in model.task
        and not (here and model.checkpoint() is None)
    ]


def plain(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return name.lower().replace('_', '-')


def find_model(name: str) -> ZooModel:
    """Return the model of a name, which may be a beginning of it.

    ``'glip-t'`` is enough for ``glip-t_swin-t_fpn_coco``; of several that
    begin so the first with weights is taken, if all have the same.

    Raises:
        ValueError: There is none, or there are several of other weights; the
            message has the nearest names.
    """
    known = {plain(model.name): model for model in zoo_models()}
    wanted = plain(name)
    if wanted in known:
        return known[wanted]
    begun = [m for key, m in known.items() if key.startswith(f'{wanted}-')]
    weighted = [model for model in begun if model.weights] or begun
    if len({model.weights or model.name for model in weighted}) == 1:
        return weighted[0]
    if weighted:
        names = ', '.join(model.name for model in weighted[:6])
        raise ValueError(
            f"'{name}' may be any of {len(weighted)} models: {names}"
            f'{", ..." if len(weighted) > 6 else ""}; write more of the name'
        )
    raise ValueError(
        f"no model is called '{name}': {nearest(wanted, known)}`mmclip "
        'models` lists all'
    )


def nearest(wanted: str, known: dict[str, ZooModel]) -> str:
    """Return a hint at what a name may have meant."""
    begun = dict.fromkeys('-'.join(key.split('-')[:2]) for key in known)
    near = get_close_matches(wanted, [*begun, *known], n=3, cutoff=0.5)
    names = [known[n].name if n in known else n for n in near]
    return f'did you mean {" or ".join(names)}? ' if names else ''


def fetch_model(model: ZooModel, progress: bool = True) -> Path:
    """Bring the weights of a model onto this machine and into our layout.

    Returns:
        A file that mmengine loads.

    Raises:
        ValueError: None are published, the file is damaged, or it does not
            fit the model.
        ConnectionError: It cannot be fetched; the message says which file to
            put where.
    """
    ready = model.checkpoint()
    if ready is not None:
        return ready
    if not model.weights:
        raise ValueError(how_to_have(model))
    published = model.published_file()
    if published is None:
        published = fetch_file(
            model.weights, model.place, model.sha256, progress
        )
    else:
        check_sha256(published, model.sha256)
    return convert_model(model, published) if model.converter else published


def how_to_have(model: ZooModel) -> str:
    """Say how one comes by weights that are at no address to fetch."""
    if not model.source:
        return (
            f'no weights of {model.name} are published: train it, mmclip '
            f'train {model.name}'
        )
    command = model.converter.replace('DST', f"'{model.converted}'")
    return (
        f'the weights of {model.name} cannot be fetched from here: open '
        f'{model.source}, download the file SRC (unpack an archive), then run '
        f'`{command}`; after that the name is enough'
    )


def convert_model(model: ZooModel, published: Path) -> Path:
    """Convert a published file as its metafile says; return the result.

    Raises:
        ValueError: The two sides do not fit.
    """
    from mmclip.convert_command import convert_file

    words = model.converter.split()
    method, rest = words[2], words[3:]
    places = dict(SRC=str(published), DST=str(model.converted))
    arguments = [places.get(word, word) for word in rest]
    report = convert_file([method, *arguments])
    if not report.complete:
        *_, last = report.lines()
        raise ValueError(
            f'{published} does not fit {model.name}: {last}; see all of it '
            f'with {model.converter}'
        )
    return model.converted
