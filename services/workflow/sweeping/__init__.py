"""What goes for good, and when: of what was deleted, of who was erased, and by its age"""
