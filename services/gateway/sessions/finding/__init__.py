"""Which sessions a list shows: by filters, marks, folders and words, and where a word stands in them"""
