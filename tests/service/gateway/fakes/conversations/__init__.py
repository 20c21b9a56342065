"""What is said and kept in sessions, and who else sees it"""
