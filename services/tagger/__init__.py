"""MessagePosted, ModelRegistered -> tagging.session_tags, tagging.models -> SessionTagged"""
