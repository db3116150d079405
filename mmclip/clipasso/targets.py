"""The photographs at work, and what CLIP sees in their views.

B images, K views, H x W pixels.
"""

from torch import Tensor, nn

from mmclip.clipasso.augmentation import Views
from mmclip.clipasso.features import CLIPFeatures, joined


class Targets:
    """Show pictures as sketches are shown, and look at them without a graph.

    What does not change is looked at once: the plain views, and those of a
    bank.

    Args:
        images: The targets, RGB in [0, 1] (B, 3, H, W).
        extractor: The network that looks.
        augment: The :class:`mmclip.clipasso.augmentation.PairedAugment` that
            shows views; ``None`` where there are plain ones alone.
    """

    def __init__(
        self, images: Tensor, extractor: nn.Module, augment: nn.Module | None
    ) -> None:
        self.images, self.extractor, self.augment = images, extractor, augment
        self.plain = extractor.look_at_target(images)
        self.kept: dict[int, CLIPFeatures] = {}

    def show(self, pictures: Tensor, views: Views | None) -> Tensor:
        """Show pictures in all views, or as they are."""
        if views is None:
            return pictures
        return self.augment(pictures, views=views)[0]

    def see(
        self, pictures: Tensor, views: Views | None, kept: dict | None = None
    ) -> CLIPFeatures:
        """Look at pictures (B, 3, H, W) without a graph, (K * B).

        Args:
            pictures: RGB in [0, 1].
            views: How to look; ``None`` takes the plain view alone.
            kept: What was seen of them so far, by the views' numbers in
                their bank (-1 for the plain one); it is added to.
        """
        if views is None or views.members is None or kept is None:
            return self.extractor.look_at_target(self.show(pictures, views))
        if self.augment.plain and -1 not in kept:
            kept[-1] = self.extractor.look_at_target(pictures)
        members = views.members.tolist()
        new = [k for k, member in enumerate(members) if member not in kept]
        if new:
            shown = self.show(pictures, views[new])[
                -len(new) * len(pictures) :
            ]
            seen = self.extractor.look_at_target(shown)
            for row, k in enumerate(new):
                one = slice(row * len(pictures), (row + 1) * len(pictures))
                kept[members[k]] = seen.rows(one)
        wanted = [-1, *members] if self.augment.plain else members
        return joined([kept[member] for member in wanted])

    def features(self, views: Views | None = None) -> CLIPFeatures:
        """See the targets (K * B pictures); the plain ones are kept."""
        if views is None:
            return self.plain
        if views.members is not None or not self.augment.plain:
            self.kept[-1] = self.plain
            return self.see(self.images, views, self.kept)
        if not len(views):
            return self.plain
        shown = self.show(self.images, views)[len(self.images) :]
        rest = self.extractor.look_at_target(shown)
        return joined([self.plain, rest])
