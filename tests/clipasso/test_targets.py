import torch

from tests.clipasso.sketching import SIDE
from tests.clipasso.test_sketcher import begun, mmclip_scope  # noqa: F401


def test_targets_seen_in_a_bank_of_views_are_kept_and_the_same():
    augment = dict(
        type='mmclip.PairedAugment',
        num_views=2,
        size=SIDE,
        mode='bank',
        bank_size=2,
    )
    model = begun(2, augment=augment)
    views = model.augment.draw(*model.size)
    seen = model.targets.features(views)
    (shown,) = model.augment(model.images, views=views)
    fresh = model.extractor.look_at_target(shown)
    for name, layer in fresh.layers.items():
        torch.testing.assert_close(
            seen.layers[name], layer, atol=1e-4, rtol=1e-4
        )
    model.extractor.look_at_target = None  # nothing is looked at again
    turned = model.targets.features(views[[1, 0]])
    for name, layer in seen.layers.items():
        assert turned.layers[name][2:4].equal(layer[4:6])


def test_without_views_the_plain_targets_are_all_there_is():
    for augment in (
        None,
        dict(type='mmclip.PairedAugment', num_views=0, size=SIDE),
    ):
        model = begun(2, augment=augment)
        views = augment and model.augment.draw(*model.size)
        assert model.targets.features(views) is model.targets.plain
        pictures = torch.rand(2, 3, SIDE, SIDE)
        shown = model.targets.show(pictures, views)
        torch.testing.assert_close(shown, pictures)
