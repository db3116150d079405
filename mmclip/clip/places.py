"""Where on this machine a weight file may lie already.

Other programs have fetched many of them before: torch's hub and mmengine,
OpenAI's clip, Hugging Face's hub.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

HUB_FILE = re.compile(r'https://huggingface\.co/(.+?)/resolve/([^/]+)/(.+)')


def cache_dir(kind: str) -> Path:
    """Return the folder for ``kind`` below MMCLIP_CACHE or ~/.cache/mmclip."""
    root = os.environ.get('MMCLIP_CACHE') or '~/.cache/mmclip'
    return Path(root).expanduser() / kind


def weight_folders() -> list[Path]:
    """Return the folders that weights are looked for in, ours first.

    ``checkpoints`` of the working directory, and what torch's hub (which
    mmengine uses) and OpenAI's clip keep.
    """
    caches = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
    hub = os.environ.get('TORCH_HOME') or caches / 'torch'
    return [
        cache_dir('weights'),
        Path('checkpoints'),
        Path(hub).expanduser() / 'hub' / 'checkpoints',
        caches / 'clip',
    ]


def file_at_hand(names: Sequence[str], url: str = '') -> Path | None:
    """Return a file of one of ``names`` that lies on this machine.

    Args:
        names: What the file may be called.
        url: Where it is published; of Hugging Face's the hub's cache is
            looked through, too.
    """
    for folder in weight_folders():
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return hub_file(url)


def hub_file(url: str) -> Path | None:
    """Return what Hugging Face's cache holds of an address, if anything."""
    match = HUB_FILE.match(url)
    if not match:
        return None
    from huggingface_hub import try_to_load_from_cache

    repository, revision, name = match.groups()
    found = try_to_load_from_cache(repository, name, revision=revision)
    return Path(found) if isinstance(found, str) else None
