"""The mends act where their fault is, and nowhere else."""

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import utils as config_utils
from mmengine.dataset import default_collate
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import package_utils
from safetensors.torch import save_file

from mmclip import checkpoint as checkpoints
from mmclip import compat, doctor

ROOT = Path(compat.__file__).parents[1]
HEAVY = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'transformers')
LOADERS = [checkpoints._load_weights_only, checkpoints._load_narrowly]


def python(code, *paths, **env):
    """Run code in a fresh Python and return what it printed."""
    search = os.pathsep.join(map(str, [*paths, ROOT]))
    env = {**os.environ, 'PYTHONPATH': search, 'OMP_NUM_THREADS': '1', **env}
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(folder, **files):
    """Write Python files, a dot in a name being a folder."""
    for name, text in files.items():
        file = folder / f'{name.replace("__in__", "/")}.py'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


# ---- import and switch


def test_import_is_quick_and_brings_no_framework():
    code = f"""
import sys, time
start = time.perf_counter()
import mmclip
seconds = time.perf_counter() - start
print([name for name in {HEAVY} if name in sys.modules], seconds < 1)
"""
    assert python(code) == '[] True\n'


def test_one_variable_turns_every_mend_off():
    code = """
import sys
before = list(sys.meta_path)
import mmclip
import mmengine.config
from mmengine.config.utils import MODULE2PACKAGE
print(mmclip.compat.active(), 'mmclip' in MODULE2PACKAGE)
print(sys.meta_path[0] is before[0])
"""
    assert python(code, MMCLIP_COMPAT='0') == '[] False\nTrue\n'


def test_apply_twice_is_apply_once():
    before = list(sys.meta_path)
    compat.apply()
    assert sys.meta_path == before


def test_every_mend_names_the_upstream_line_and_its_end():
    every = [mend for found in compat.MENDS.values() for mend in found]
    for mend in [*every, compat.StandInForMmcvOps]:
        told = ' '.join(mend.__doc__.split())
        assert 'Can go' in told, mend
        assert '.py:' in told, mend


def test_active_mends_are_named_with_one_line_each():
    active = dict(compat.active())
    assert {'load_weights_only', 'know_mmclip_configs'} <= set(active)
    assert all(line and '\n' not in line for line in active.values())


# ---- mmcv ops


def test_a_compiled_mmcv_is_used_untouched(tmp_path):
    write(tmp_path, mmcv__in____init__='', mmcv__in___ext='nms = "compiled"')
    code = """
import mmclip
import mmcv._ext
print(mmcv._ext.nms, mmclip.compat.active())
"""
    assert python(code, tmp_path) == 'compiled []\n'


def test_without_a_compiled_mmcv_torchvision_stands_in(tmp_path):
    write(tmp_path, mmcv__in____init__='')
    code = """
import mmclip, sys
import mmcv
print('torch' in sys.modules)
import mmcv._ext
print(mmcv._ext.nms.__module__, mmcv._ext.__spec__.name)
print(mmclip.compat.active()[0][0])
"""
    said = python(code, tmp_path)
    assert said == 'False\nmmclip.ops mmcv._ext\nstand_in_for_mmcv_ops\n'


# ---- packages and configs

BASES = """
from mmengine.config import Config
for base in ('mmdet::rpn/rpn_r50_fpn_1x_coco.py',
             'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'):
    open('c.py', 'w').write(f'_base_ = {base!r}')
    print(Config.fromfile('c.py').model.type)
"""


@pytest.mark.parametrize(
    'order',
    ['import mmclip, mmengine.hub', 'import mmengine.hub, mmclip'],
    ids=['mmclip first', 'mmengine first'],
)
def test_configs_are_inherited_without_pkg_resources(tmp_path, order):
    code = f"""
import os, sys
sys.modules['pkg_resources'] = None
os.chdir({str(tmp_path)!r})
{order}
{BASES}
"""
    assert python(code) == 'RPN\nEncoderDecoder\n'


def test_a_distribution_name_leads_to_its_module():
    assert (
        Path(package_utils.get_installed_path('mmsegmentation')).name
        == 'mmseg'
    )
    assert package_utils.is_installed('mmsegmentation')
    assert package_utils.is_installed('mmseg')


def test_an_editable_package_is_found_where_its_code_is(tmp_path, monkeypatch):
    info = tmp_path / 'site' / 'inplace_tool-1.0.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Name: inplace-tool\nVersion: 1.0\n')
    (info / 'top_level.txt').write_text('inplace\n')
    write(tmp_path / 'src', inplace__in____init__='')
    monkeypatch.syspath_prepend(tmp_path / 'site')
    monkeypatch.syspath_prepend(tmp_path / 'src')
    assert package_utils.get_installed_path('inplace-tool') == str(
        tmp_path / 'src/inplace'
    )


def test_an_absent_package_is_named():
    assert not package_utils.is_installed('no_such_package')
    with pytest.raises(ModuleNotFoundError, match='pip install no_such_pack'):
        package_utils.get_installed_path('no_such_package')


def test_a_lookup_that_works_is_left_alone():
    stock = SimpleNamespace(
        is_installed=lambda package: True,
        get_installed_path=lambda package: package,
    )
    before = vars(stock).copy()
    assert compat.find_packages_without_setuptools(stock) is False
    assert vars(stock) == before


def test_configs_of_mmclip_are_known_to_mmengine():
    assert config_utils.MODULE2PACKAGE['mmclip'] == 'mmclip'


# ---- transformers

MOVED = 'def prune_linear_layer(): return "moved"'
ASK = """
import mmclip
from transformers import modeling_utils as m
print(m.prune_linear_layer())
try:
    m.find_pruneable_heads_and_indices()
except NotImplementedError as error:
    print(error)
"""


def test_names_that_transformers_moved_are_back_for_mmpretrain(tmp_path):
    write(
        tmp_path,
        transformers__in____init__='',
        transformers__in__modeling_utils='',
        transformers__in__pytorch_utils=MOVED,
        mmpretrain__in____init__='',
    )
    said = python(ASK, tmp_path)
    assert said.startswith('moved\ntransformers no longer has find_prune')
    assert "'transformers<4.56'" in said


def test_transformers_is_left_alone_without_mmpretrain(monkeypatch):
    monkeypatch.setattr(compat, 'find_spec', lambda name: None)
    bare = SimpleNamespace()
    assert compat.restore_pruning_helpers(bare) is False
    assert not vars(bare)


def test_transformers_that_has_the_names_is_left_alone():
    whole = SimpleNamespace(**dict.fromkeys(compat.PRUNING))
    assert compat.restore_pruning_helpers(whole) is False


# ---- checkpoints


class Harm:
    """Pickles as a call that leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


class Peep:
    """Pickles as getattr on something else than a log."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.fixture(params=LOADERS, ids=['torch>=2.6', 'torch<2.6'])
def old_and_new_torch(request, monkeypatch):
    """Read as each of the two generations of torch must."""
    monkeypatch.setattr(checkpoints, '_load_weights_only', request.param)


def logs():
    """Return what a Runner stores beside weights."""
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    return {
        'state_dict': {'w': torch.ones(2)},
        'message_hub': {'log_scalars': {'train/loss': buffer}},
        'meta': {'score': np.float64(0.5), 'palette': np.eye(2, dtype='u1')},
    }


@pytest.mark.usefixtures('old_and_new_torch')
@pytest.mark.parametrize('zipped', [True, False])
def test_weights_logs_and_numpy_values_load(tmp_path, zipped):
    file = str(tmp_path / 'a.pth')
    torch.save(logs(), file, _use_new_zipfile_serialization=zipped)
    got = CheckpointLoader.load_checkpoint(file, 'cpu')
    assert got['state_dict']['w'].tolist() == [1, 1]
    assert got['meta']['score'] == 0.5
    assert got['meta']['palette'].tolist() == [[1, 0], [0, 1]]
    buffer = got['message_hub']['log_scalars']['train/loss']
    assert buffer.statistics('mean') == 2


@pytest.mark.usefixtures('old_and_new_torch')
def test_numpy_values_load_under_the_spelling_of_the_other_numpy(tmp_path):
    file = tmp_path / 'a.pth'
    torch.save(logs(), file, _use_new_zipfile_serialization=False)
    stored, (new, old) = file.read_bytes(), (b'numpy._core.', b'numpy.core.')
    other = (new, old) if new in stored else (old, new)
    assert other[0] in stored
    file.write_bytes(stored.replace(*other))
    got = checkpoints.read_checkpoint(str(file))
    assert got['meta']['score'] == 0.5


@pytest.mark.usefixtures('old_and_new_torch')
@pytest.mark.parametrize('save', [torch.save, None], ids=['torch', 'pickle'])
def test_a_malicious_file_is_not_run_and_says_what_it_asked(tmp_path, save):
    file, trace = tmp_path / 'bad.pth', tmp_path / 'trace'
    if save:
        save({'state_dict': Harm(trace)}, file)
    else:
        file.write_bytes(pickle.dumps(Harm(trace), protocol=2))
    with pytest.raises(checkpoints.CheckpointError) as error:
        load_checkpoint(torch.nn.Linear(1, 1), str(file))
    assert not trace.exists()
    for part in ('bad.pth', 'mkdir', 'expected', '.safetensors'):
        assert part in str(error.value)
    assert 'weights_only=False' not in str(error.value)


@pytest.mark.usefixtures('old_and_new_torch')
def test_getattr_is_allowed_for_the_statistics_of_a_log_alone(tmp_path):
    file = tmp_path / 'peep.pth'
    torch.save({'state_dict': Peep()}, file)
    with pytest.raises(checkpoints.CheckpointError, match='getattr.__init__'):
        checkpoints.read_checkpoint(str(file))


def test_the_allow_list_ends_with_the_load(tmp_path):
    torch.save(logs(), tmp_path / 'a.pth')
    before = torch.serialization.get_safe_globals()
    checkpoints.read_checkpoint(str(tmp_path / 'a.pth'))
    assert set(torch.serialization.get_safe_globals()) == set(before)


@pytest.mark.usefixtures('old_and_new_torch')
@pytest.mark.parametrize(
    ('name', 'content', 'said'),
    [
        ('text.pth', b'weights of my model', "begins with b'weights of my"),
        ('page.pth', b'<html>404</html>', "begins with b'<html>404"),
        ('lfs.pth', b'version https://git-lfs.github.com', 'git lfs pull'),
        ('empty.pth', b'', r'\(0 bytes\)'),
        ('other.pth', pickle.dumps({'a': 1}), 'another pickle'),
        ('cut.safetensors', b'\x40\0\0\0\0\0\0\0{"a"', 'cut short'),
    ],
)
def test_a_foreign_file_is_described(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(checkpoints.CheckpointError, match=said) as error:
        CheckpointLoader.load_checkpoint(str(tmp_path / name))
    assert name in str(error.value)
    assert 'expected what torch.save or safetensors' in str(error.value)


@pytest.mark.usefixtures('old_and_new_torch')
def test_a_truncated_checkpoint_is_described(tmp_path):
    file = tmp_path / 'cut.pth'
    torch.save(logs(), file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(checkpoints.CheckpointError, match='start of a zip'):
        checkpoints.read_checkpoint(str(file))


def test_a_missing_checkpoint_names_its_neighbours(tmp_path):
    (tmp_path / 'epoch_1.pth').touch()
    with pytest.raises(FileNotFoundError, match='epoch_1.pth') as error:
        CheckpointLoader.load_checkpoint(str(tmp_path / 'epoch_2.pth'))
    assert 'epoch_2.pth' in str(error.value)


def test_an_error_that_is_not_the_files_is_passed_on(tmp_path, monkeypatch):
    torch.save(logs(), tmp_path / 'a.pth')

    def full(file, map_location):
        raise MemoryError('no memory is left')

    for loader in ('_load_weights_only', '_load_narrowly'):
        monkeypatch.setattr(checkpoints, loader, full)
    with pytest.raises(MemoryError):
        checkpoints.read_checkpoint(str(tmp_path / 'a.pth'))


def test_safetensors_load_into_a_model_with_their_metadata(tmp_path):
    file = str(tmp_path / 'line.safetensors')
    line, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    classes = {'classes': ['cat', 'dog']}
    metadata = {'dataset_meta': json.dumps(classes), 'made_by': 'a test'}
    save_file(line.state_dict(), file, metadata)
    got = load_checkpoint(other, file, map_location='cpu', strict=True)
    assert torch.equal(line.weight, other.weight)
    assert got['meta'] == {'dataset_meta': classes, 'made_by': 'a test'}


def test_a_download_is_read_as_carefully_as_a_local_file(tmp_path):
    good, bad = tmp_path / 'good.pth', tmp_path / 'bad.pth'
    torch.save(logs(), good)
    torch.save({'state_dict': Harm(tmp_path / 'trace')}, bad)
    cache = str(tmp_path / 'cache')
    got = checkpoints.read_url(good.as_uri(), cache, 'cpu', progress=False)
    assert got['state_dict']['w'].tolist() == [1, 1]
    good.unlink()
    checkpoints.read_url(good.as_uri(), cache)  # from the cache
    with pytest.raises(checkpoints.CheckpointError, match='mkdir'):
        checkpoints.read_url(bad.as_uri(), cache, progress=False)
    assert not (tmp_path / 'trace').exists()


def test_mmengine_downloads_and_loads_through_the_mend():
    from mmengine.runner import checkpoint

    assert checkpoint.load_url is checkpoints.read_url
    assert checkpoint.torch.load is checkpoints.read_checkpoint
    assert checkpoint.torch.Tensor is torch.Tensor


# ---- a Runner


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {'x': torch.tensor([float(index)])}


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, x, mode='tensor'):
        if mode == 'loss':
            return {'loss': (self.line(x) - 2 * x).square().mean()}
        return self.line(x)


def runner(folder, epochs, **changes):
    """Return a Runner that fits y = 2x."""
    return Runner(
        model=Line(),
        work_dir=str(folder),
        train_dataloader={
            'batch_size': 2,
            'num_workers': 0,
            'dataset': Numbers(),
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            'collate_fn': default_collate,
        },
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
        log_level='ERROR',
        experiment_name=f'{folder.name}-{epochs}-{len(changes)}',
        **changes,
    )


def test_a_run_resumes_with_its_logs(tmp_path):
    runner(tmp_path, 1).train()
    again = runner(tmp_path, 2, resume=True)
    again.load_or_resume()
    logged = again.message_hub.get_scalar('train/loss')
    assert isinstance(logged, HistoryBuffer)
    assert len(logged.data[0]) == 4
    assert again.iter == 4
    again.train()
    assert again.iter == 8
    assert isinstance(again.message_hub, MessageHub)


@pytest.mark.dist
def test_two_processes_train_on_cpu_with_gloo(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import torch
from mmengine.dist import all_gather
from test_compat import runner
run = runner(Path({str(tmp_path)!r}), 1, launcher='pytorch',
             env_cfg=dict(dist_cfg=dict(backend='gloo')))
run.train()
one, two = all_gather(run.model.module.line.weight.detach())
assert torch.equal(one, two)
print('wrapped in', type(run.model).__name__, run.iter)
from mmclip.jobs import leave_process_group
torch.distributed.barrier()
del run
leave_process_group()
"""
    env = {
        **os.environ,
        'WORLD_SIZE': '2',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', code],
            env={**env, 'RANK': rank, 'LOCAL_RANK': rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in '01'
    ]
    for rank in ranks:
        said, wrong = rank.communicate(timeout=100)
        assert rank.returncode == 0, wrong
        assert 'wrapped in MMDistributedDataParallel 2' in said


@pytest.mark.parametrize(
    'mend', [compat.start_gloo_without_cuda, compat.wrap_cpu_models]
)
def test_the_cpu_mends_leave_a_machine_with_cuda_alone(mend):
    cuda = SimpleNamespace(is_available=lambda: True)
    module = SimpleNamespace(torch=SimpleNamespace(cuda=cuda))
    assert mend(module) is False
    assert list(vars(module)) == ['torch']


# ---- what lacks


@pytest.fixture
def installed(monkeypatch):
    """Pretend that only these distributions are installed."""
    versions = {
        'mmengine': '0.10.7',
        'mmdet': '3.3.0',
        'mmsegmentation': '1.2.2',
        'mmcv-lite': '2.1.0',
    }
    monkeypatch.setattr(doctor, '_version', versions.get)
    return versions


def wrong():
    """Return the problems of versions, as one text each."""
    found = [*doctor._wrong_versions(), *doctor._wrong_mmcv()]
    return [f'{what} -> {fix}' for what, fix in found]


def test_a_sound_installation_has_no_problems(installed):
    assert wrong() == []
    assert doctor.problems() == []


def test_an_mmcv_that_mmdet_refuses_is_named_with_its_fix(installed):
    del installed['mmcv-lite']
    installed['mmcv'] = '2.2.0'
    (problem,) = wrong()
    assert problem.startswith('mmcv 2.2.0 is used')
    assert "pip install 'mmcv-lite>=2.1,<2.2'" in problem


def test_two_mmcvs_in_one_folder_are_named(installed):
    installed['mmcv'] = '2.1.0'
    (problem,) = wrong()
    assert 'mmcv 2.1.0 and mmcv-lite 2.1.0 share' in problem
    assert 'pip uninstall -y mmcv mmcv-lite' in problem


def test_no_mmcv_at_all_is_named(installed, monkeypatch):
    monkeypatch.setattr(doctor, 'find_spec', lambda name: None)
    (problem,) = wrong()
    assert problem.startswith('neither mmcv nor mmcv-lite is installed ->')


def test_ops_that_are_turned_off_are_named(installed, monkeypatch):
    monkeypatch.setattr(
        doctor, 'find_spec', lambda name: None if '_ext' in name else name
    )
    (problem,) = wrong()
    assert problem.endswith('-> unset MMCLIP_COMPAT')


def test_absent_and_old_frameworks_are_named(installed):
    installed['mmengine'] = '0.8.0'
    del installed['mmdet']
    old, absent = wrong()
    assert old.startswith('mmengine 0.8.0 is used')
    assert absent == "mmdet is not installed -> pip install 'mmdet>=3.3'"


def test_the_onedl_forks_are_no_problem(installed):
    installed.clear()
    for name in ('mmengine', 'mmdetection', 'mmsegmentation', 'mmcv'):
        installed[f'onedl-{name}'] = '2.3.6'
    assert wrong() == []


def test_a_binary_that_does_not_load_is_named(tmp_path):
    write(
        tmp_path,
        torchvision='',
        mmcv__in____init__='',
        mmcv__in___ext='raise ImportError("undefined symbol: _ZN2at")',
    )
    code = 'from mmclip import doctor; print(list(doctor._wrong_binaries()))'
    said = python(code, tmp_path)
    assert 'mmcv._ext does not load: undefined symbol' in said
    assert 'pip uninstall -y mmcv' in said
