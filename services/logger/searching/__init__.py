"""What was stored is made findable by its words"""
