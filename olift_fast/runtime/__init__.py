"""The lifter on NumPy arrays over the native module: nothing here imports torch.

`olift_fast.model.NativeLifter` is made of these parts, and `olift_fast.nn` hands its modules' tensors to the same ones.
"""
