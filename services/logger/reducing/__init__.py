"""What a group of events comes to before anything is written: one row a key, one value a field. Pure"""
