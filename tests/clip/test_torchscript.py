import pickle
import zipfile

import pytest
import torch
from torch import Tensor, nn

from mmclip.clip.torchscript import is_torchscript, read_torchscript


class Scripted(nn.Module):
    """Weights, a buffer, a tied weight and members that are no tensors."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.turned = nn.Parameter(torch.randn(5, 2).half().t())
        self.tied = self.first[0].weight
        self.register_buffer('count', torch.tensor(7))
        self.sizes = [1, 2]
        self.name = 'x'

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.sizes[0]


@pytest.fixture
def scripted(tmp_path):
    module = Scripted()
    torch.jit.script(module).save(str(tmp_path / 'x.pt'))
    return module, tmp_path / 'x.pt'


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_every_tensor_is_read_as_it_was_saved(scripted):
    module, path = scripted
    assert is_torchscript(path)
    read = read_torchscript(path)
    for name, value in module.state_dict().items():
        assert torch.equal(read[name], value), name
        assert read[name].dtype == value.dtype
    assert read.keys() == module.state_dict().keys()


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_a_name_that_is_no_tensor_is_refused(scripted, tmp_path):
    _, path = scripted
    evil = tmp_path / 'evil.pt'
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, 'w') as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith('/data.pkl'):
                content = pickle.dumps(print)
            new.writestr(name, content)
    with pytest.raises(pickle.UnpicklingError, match='print is not a tensor'):
        read_torchscript(evil)


def test_a_plain_checkpoint_is_no_archive_of_code(tmp_path):
    torch.save({'a': torch.zeros(1)}, tmp_path / 'x.pt')
    assert not is_torchscript(tmp_path / 'x.pt')
    (tmp_path / 'y.pt').write_text('no archive')
    assert not is_torchscript(tmp_path / 'y.pt')
