"""MessagePosted, ModelRegistered, ModelChanged, SessionDeleted, UserErased -> tagging.* -> SessionTagged"""
