"""What a call of the model took and cost, as its trace and its span say it"""
