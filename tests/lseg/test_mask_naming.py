import pytest
import torch
import torch.nn.functional as F

from mmclip.lseg.mask_naming import dataset_logits, mask_embeddings
from tests.lseg.tiny import NAMES, sample, tiny_lseg


class Images:
    """Two pictures: one of the classes 1 and 2, one without a class."""

    metainfo = dict(classes=NAMES[:4])

    def __init__(self, label=255):
        halves = torch.ones(1, 64, 96, dtype=torch.long)
        halves[..., 48:] = 2
        self.labels = [halves, torch.full((1, 64, 96), label)]

    def __len__(self):
        return 2

    def __getitem__(self, k):
        torch.manual_seed(k)
        return dict(
            inputs=torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8),
            data_samples=sample((64, 96), label=self.labels[k]),
        )


def test_pixels_of_a_mask_are_averaged():
    pixels = F.normalize(torch.randn(5, 4, 6), dim=0)
    labels = torch.full((8, 12), 255)
    labels[:4] = 3
    labels[4:, 6:] = 1
    found, names = mask_embeddings(pixels, labels)
    assert names.tolist() == [1, 3]
    wanted = [pixels[:, 2:, 3:].sum((1, 2)), pixels[:, :2].sum((1, 2))]
    torch.testing.assert_close(found, F.normalize(torch.stack(wanted), dim=1))


def test_a_mask_smaller_than_a_position_is_not_lost():
    pixels = F.normalize(torch.randn(5, 2, 2), dim=0)
    labels = torch.zeros(8, 8, dtype=torch.long)
    labels[7, 7] = 4
    found, names = mask_embeddings(pixels, labels)
    assert names.tolist() == [0, 4]
    torch.testing.assert_close(found[1], pixels[:, 1, 1])


@pytest.mark.parametrize('size', [(3, 5), (1, 1)])
def test_maps_may_be_smaller_than_the_embeddings(size):
    pixels = F.normalize(torch.randn(5, 8, 8), dim=0)
    found, _ = mask_embeddings(pixels, torch.zeros(size, dtype=torch.long))
    torch.testing.assert_close(
        found[0], F.normalize(pixels.sum((1, 2)), dim=0)
    )


def test_an_image_without_masks_has_none():
    found, names = mask_embeddings(
        torch.randn(5, 2, 2), torch.full((4, 4), 255)
    )
    assert found.shape == (0, 5)
    assert names.tolist() == []


def test_masks_are_scored_by_the_cosine_of_each_name():
    model, names = tiny_lseg(), [NAMES[2], NAMES[1], NAMES[3]]
    logits, labels = dataset_logits(model, Images(), names)
    assert labels.tolist() == [1, 0]  # of NAMES[1] and NAMES[2]
    data = Images()[0]
    inputs = model.data_preprocessor(
        dict(inputs=[data['inputs']], data_samples=None)
    )['inputs']
    with torch.no_grad():
        pixels = model.pixel_embeddings(inputs)[0]
    means, _ = mask_embeddings(pixels, Images().labels[0][0])
    texts = model.decode_head.vocabulary.embeddings[[2, 1, 3]]
    torch.testing.assert_close(logits, means @ texts.T)


def test_masks_of_other_names_are_left_out():
    _, labels = dataset_logits(tiny_lseg(), Images(label=0), NAMES[1:3])
    assert labels.tolist() == [0, 1]


def test_a_dataset_without_masks_is_an_error():
    with pytest.raises(ValueError, match='none of the 2 images shows'):
        dataset_logits(tiny_lseg(), Images(), [NAMES[3]])
