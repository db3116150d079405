"""Install mmclip: nothing is compiled and no installed torch is replaced."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r"__version__ = '(.+)'", (ROOT / 'mmclip/__init__.py').read_text()
).group(1)

CORE = [
    'torch>=2.4',
    'torchvision>=0.19',
    'numpy',
    'opencv-python>=4.5',
    'pillow>=9',
    'mmengine>=0.10.4',
    'mmdet>=3.3,<3.4',
    'mmsegmentation>=1.2.2,<1.3',
    'mmpretrain>=1.2,<1.3',
    'open_clip_torch>=2.26',
    'pycocotools>=2.0.7',
    'safetensors>=0.4',
    'ftfy',
    'regex',
    'rich',
    'setuptools',
]  # mmseg imports ftfy and regex without asking for them
EXTRAS = {
    # mmcv and mmcv-lite are two distributions of one module: take one.
    'lite': ['mmcv-lite>=2.1,<2.2'],
    'ops': ['mmcv>=2.1,<2.2'],
    'lvis': ['hotcoco>=1.3'],
    'demo': ['gradio>=6,<7'],
    'sketch': ['numba>=0.60'],
    'onnx': ['onnx>=1.14', 'onnxruntime>=1.16'],
    'film': ['imageio[ffmpeg]'],  # sketches as MP4
    'docs': ['sphinx>=7', 'myst-parser', 'furo'],
    'test': ['pytest>=7.2', 'pytest-xdist>=3', 'ruff>=0.4', 'hypothesis'],
    # apart: gradio holds pillow back, which all other tests take as it is
    'demo-test': ['gradio>=6,<7', 'playwright>=1.45'],
}
EXTRAS['demo-test'] += EXTRAS['test'][:2]
EXTRAS['test'] += ['hotcoco>=1.3', 'lvis', 'resvg-py', 'tensorboard']
EXTRAS['test'] += [*EXTRAS['onnx'], *EXTRAS['sketch']]
EXTRAS['dev'] = EXTRAS['test'] + EXTRAS['docs']

setup(
    name='mmclip',
    version=VERSION,
    description='What grew out of CLIP, in OpenMMLab runners: open-vocabulary '
    'detection, segmentation, grounding and sketches',
    long_description=(ROOT / 'README.md').read_text(encoding='utf8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10,<3.14',
    packages=find_packages(include=['mmclip', 'mmclip.*']),
    package_data={
        'mmclip': [
            '.mim/*',
            '.mim/**/*',
            'clip/assets/*',
            'groupvit/assets/*',
        ]
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['mmclip=mmclip.cli:main']},
)
