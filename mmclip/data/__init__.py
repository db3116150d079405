"""Datasets, splits and transforms; importing it registers them."""

from mmclip.data.ov_datasets import OVCocoDataset, OVLVISV1Dataset
from mmclip.data.shapes_dataset import ShapesDataset

__all__ = ['OVCocoDataset', 'OVLVISV1Dataset', 'ShapesDataset']
