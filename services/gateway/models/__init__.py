"""Models and tags: ModelRegistered, ModelChanged -> tagging.*"""
