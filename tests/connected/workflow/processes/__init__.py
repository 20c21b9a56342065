"""The workflow's processes, killed, suspended, cut off or of another release"""
