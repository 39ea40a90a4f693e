"""Studies, each run by one command: ``python -m olift_fast.train.studies NAME``.

A study measures a checkpoint, or trains variants and scores them. It writes its rows (values by name) to a JSON file,
and draws its plot from that file alone.
"""
