"""MessagePosted, TagBatchRequested, ModelRegistered, ModelChanged, deletions -> tagging.* -> SessionTagged"""
