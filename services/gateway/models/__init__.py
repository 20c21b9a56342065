"""Models and tags: ModelRegistered, ModelChanged, TagBatchRequested -> tagging.*"""
