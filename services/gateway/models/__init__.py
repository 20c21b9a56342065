"""Models and tags: ModelRegistered -> tagging.*"""
