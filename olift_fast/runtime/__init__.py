"""The parts of a lifter on NumPy arrays, computed by the native module. Nothing here imports torch.

`olift_fast.model.NativeLifter` is made of these parts; `olift_fast.nn` uses the same ones with tensors.
"""
