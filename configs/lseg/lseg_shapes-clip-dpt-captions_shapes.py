# Beside the masks of base names, as many scenes with captions and no masks:
# these name base and novel concepts, as shapes-clip's own captions do.
_base_ = ['lseg_shapes-clip-dpt_shapes.py']
pack = dict(type='mmseg.PackSegInputs', meta_keys=(
    'img_path', 'ori_shape', 'img_shape', 'pad_shape', 'flip',
    'flip_direction', 'reduce_zero_label', 'caption'))
captions = dict(
    type='mmclip.ShapesSegDataset', captioned=True, num_images=4000, seed=10,
    background='background', objects_of=('base', 'novel'),
    classes_of=('base', 'novel'),
    pipeline=[dict(type='mmseg.LoadAnnotations'),
              dict(type='mmseg.RandomFlip', prob=0.5), pack])
train_dataloader = dict(
    batch_size=16,  # about eight of each
    dataset=dict(
        _delete_=True, type='mmengine.ConcatDataset',
        datasets=[{{_base_.train_dataloader.dataset}}, captions],
        ignore_keys=['classes', 'palette', 'novel_classes']))
model = dict(decode_head=dict(loss_caption=dict(loss_weight=0.1)))
