"""The database: its schema, its policies, how it is asked, and what stands before it"""
