"""The other pure modules of `shared`"""
