"""Which models there are, and what their services are like: declared in the file of models, told by them, or learnt"""
