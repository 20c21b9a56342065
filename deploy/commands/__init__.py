"""What the sub-commands of `tripthread` do, each imported by `cli.py` when it is typed"""
