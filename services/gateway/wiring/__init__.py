"""What is made of what: each subject's parts, by the rooms that they are in; `app.py` runs them"""
