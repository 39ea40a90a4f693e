"""Studies, each run by one command: ``python -m olift_fast.train.studies NAME``.

A study measures a checkpoint, or trains variants and scores them. Its rows, values by name, go to a JSON file, and its
plot is drawn from that file alone.
"""
