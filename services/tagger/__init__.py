"""MessagePosted, ModelRegistered, SessionDeleted, UserErased -> tagging.* -> SessionTagged"""
