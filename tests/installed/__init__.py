"""Programs that tests install where they are missing: a browser, Node's packages, environments for clients in Python"""
