# ViLD on the shapes world: the box head also learns, of every proposal, what
# the image side of shapes-clip says of its crop (section 3.3).
_base_ = ['vild-text_r18_fpn_shapes.py']
model = dict(
    teacher=dict(
        type='mmclip.OnlineTeacher', model='shapes-clip', num=16,
        mode='square'),  # squashed, an oval would become a circle
    roi_head=dict(
        image_head='shared',
        loss_distill=dict(type='mmclip.EmbeddingL1Loss', loss_weight=1.0)))
