"""chat.*, tagging.*, workflow.* -> what the API shows; every read as its caller, under row-level security"""
