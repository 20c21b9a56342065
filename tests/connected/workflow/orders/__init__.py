"""What users order: trips requested, attached, changed and cancelled, and rows that turn out to be one trip"""
