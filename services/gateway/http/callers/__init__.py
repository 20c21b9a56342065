"""From where a request comes, by what its connection and its headers say; who it is, `account` knows"""
