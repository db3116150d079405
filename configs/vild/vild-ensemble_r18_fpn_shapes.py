# ViLD-ensemble on the shapes world: a second head learns from shapes-clip's
# image side, and both heads' scores are fused (section 3.4).
_base_ = ['vild_r18_fpn_shapes.py']
model = dict(roi_head=dict(image_head=dict(_delete_=True)))
